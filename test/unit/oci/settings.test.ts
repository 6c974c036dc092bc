import { describe, expect, it } from 'vitest';
import { authHostsOf, endpointOf, isProxied } from '../../../agent/oci/settings.ts';

describe('endpointOf', () => {
  it('speaks https unless the registry is marked insecure, and knows the host of Docker Hub', () => {
    expect(endpointOf('registry.test:5000', {}).href).toBe('https://registry.test:5000/');
    expect(endpointOf('registry.test', { insecureHttp: true }).href).toBe('http://registry.test/');
    expect(endpointOf('docker.io', {}).href).toBe('https://registry-1.docker.io/');
    expect(authHostsOf('docker.io', { authHosts: ['a.test'] })).toEqual(['a.test', 'auth.docker.io']);
  });
});

describe('isProxied', () => {
  const except = ['Plain.test', 'port.test:5000', '.below.test', '*.star.test', ' ', '10.0.0.1'];
  it.each([
    ['https://plain.test', false],
    ['https://sub.plain.test', true],
    ['https://port.test:5000', false],
    ['https://port.test', true],
    ['https://a.below.test', false],
    ['https://below.test', true],
    ['https://a.b.star.test', false],
    ['https://10.0.0.1:8443', false],
    ['https://notplain.test', true],
  ])('of %s is %s', (url, expected) => {
    expect(isProxied(new URL(url), { url: 'http://proxy.test', except })).toBe(expected);
  });

  it('is false everywhere with a star', () => {
    expect(isProxied(new URL('https://a.test'), { url: 'http://proxy.test', except: ['*'] })).toBe(false);
  });
});
