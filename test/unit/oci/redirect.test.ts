import { describe, expect, it } from 'vitest';
import { describeUrl, localityOf, redirectTarget } from '../../../agent/oci/redirect.ts';

const from = new URL('https://registry.test/v2/os/edge/blobs/sha256:00');

describe('redirectTarget', () => {
  it('follows absolute and relative locations', () => {
    expect(redirectTarget(from, 'https://cdn.test/b?sig=1').href).toBe('https://cdn.test/b?sig=1');
    expect(redirectTarget(from, '/elsewhere').href).toBe('https://registry.test/elsewhere');
    expect(redirectTarget(new URL('http://127.0.0.1:5000/x'), 'http://127.0.0.1:5001/y').port).toBe('5001');
  });

  it.each([
    undefined,
    'http://cdn.test/b',
    'file:///etc/shadow',
    'https://user:secret@cdn.test/',
    'https://127.0.0.1/latest',
    'https://169.254.169.254/latest/meta-data',
    'https://localhost:8443/',
    'https://[::1]/',
    'https://[fe80::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://2130706433/',
    'https://',
    `https://cdn.test/${'x'.repeat(20_000)}`,
  ])('refuses %j and shows no secret', (location) => {
    const follow = () => redirectTarget(from, location);
    expect(follow).toThrow(expect.objectContaining({ code: 'registry-protocol-invalid' }));
    expect(follow).not.toThrow(/secret/);
  });
});

describe('localityOf', () => {
  it.each(['registry.test', '127.evil.test', '10.0.0.1', '192.168.1.1', '[2001:db8::1]'])(
    'is undefined for %s',
    (host) => {
      expect(localityOf(host)).toBeUndefined();
    },
  );
});

it('a registry on loopback leads to loopback, and never to what answers on the link', () => {
  const local = new URL('http://127.0.0.1:5000/x');
  expect(redirectTarget(local, 'http://[::1]:5001/y').hostname).toBe('[::1]');
  for (const location of ['http://169.254.169.254/latest/meta-data', 'http://[fe80::1]/', 'http://[::ffff:a9fe:1]/']) {
    expect(() => redirectTarget(local, location)).toThrow(
      expect.objectContaining({ code: 'registry-protocol-invalid' }),
    );
  }
});

describe('describeUrl', () => {
  it('leaves the query out', () => {
    expect(describeUrl(new URL('https://cdn.test/a/b?X-Amz-Signature=secret#x'))).toBe('https://cdn.test/a/b');
  });
});
