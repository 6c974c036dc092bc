import { describe, expect, it } from 'vitest';
import { formatReference, parseReference } from '../../../agent/core/image-format/reference.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const long = `sha512:${'ab'.repeat(64)}`;

describe('parseReference', () => {
  it.each([
    ['registry.test/os/edge:v1', 'registry.test', 'os/edge', 'v1', undefined],
    ['registry.test:5000/edge', 'registry.test:5000', 'edge', undefined, undefined],
    [`registry.test/os/edge@${digest}`, 'registry.test', 'os/edge', undefined, digest],
    [`registry.test/os/edge:v1@${long}`, 'registry.test', 'os/edge', 'v1', long],
    ['localhost/edge', 'localhost', 'edge', undefined, undefined],
    ['localhost:5000/edge:V1.0-rc_1', 'localhost:5000', 'edge', 'V1.0-rc_1', undefined],
    ['127.0.0.1:5000/edge', '127.0.0.1:5000', 'edge', undefined, undefined],
    ['[2001:db8::1]:5000/edge:v1', '[2001:db8::1]:5000', 'edge', 'v1', undefined],
    ['debian', 'docker.io', 'library/debian', undefined, undefined],
    ['debian:12', 'docker.io', 'library/debian', '12', undefined],
    ['acme/os', 'docker.io', 'acme/os', undefined, undefined],
    ['Registry.Test/os', 'registry.test', 'os', undefined, undefined],
    ['LocalHost/os', 'localhost', 'os', undefined, undefined],
    ['registry.test/a__b/c-d.e--f', 'registry.test', 'a__b/c-d.e--f', undefined, undefined],
  ])('reads %s', (text, registry, name, tag, pinned) => {
    const reference = parseReference(text);
    expect(reference).toEqual({ registry, name, repository: `${registry}/${name}`, tag, digest: pinned });
    expect(parseReference(formatReference(reference))).toMatchObject({ registry, name, digest: pinned });
  });

  it.each([
    '',
    'x'.repeat(1025),
    'registry.test/OS/Edge',
    'registry.test/os/edge:',
    'registry.test/os/edge:-bad',
    `registry.test/os/edge:${'t'.repeat(129)}`,
    'registry.test/os//edge',
    'registry.test/os/edge/',
    'registry.test/',
    'registry.test/-os',
    'registry.test/os_',
    'registry.test/a___b',
    'registry.test/../etc',
    '-registry.test/os',
    'Registry/os/edge',
    'registry.test:port/os',
    'registry.test/os@sha256:abcd',
    `registry.test/os@SHA256:${'ab'.repeat(32)}`,
    `registry.test/os@sha256:${'AB'.repeat(32)}`,
    `registry.test/os@md5:${'ab'.repeat(16)}`,
    `registry.test/os@${digest}@${digest}`,
    'https://registry.test/os',
    'user:pass@registry.test/os',
    'registry.test/os edge',
    'registry.test/os\n',
    'registry.test/ös',
  ])('refuses %j and quotes it', (text) => {
    const parse = () => parseReference(text);
    expect(parse).toThrow(expect.objectContaining({ code: 'reference-invalid' }));
    expect(parse).toThrow(/^cannot use image reference "/);
  });
});

describe('formatReference', () => {
  it.each([
    ['debian', 'docker.io/library/debian:latest'],
    ['registry.test/os:v1', 'registry.test/os:v1'],
    [`registry.test/os@${digest}`, `registry.test/os@${digest}`],
    [`registry.test/os:v1@${digest}`, `registry.test/os:v1@${digest}`],
  ])('of %s is %s', (text, expected) => {
    expect(formatReference(parseReference(text))).toBe(expected);
  });
});
