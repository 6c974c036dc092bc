import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lookupInFiles } from '../../../agent/oci/credential-files.ts';
import { findCredentials, parseCredentialFile } from '../../../agent/oci/credentials.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const basic = (username: string, password: string) => ({ kind: 'basic', username, password });

function find(file: object, registry: string, name: string) {
  return findCredentials(parseCredentialFile(JSON.stringify(file), '/etc/kaon/auth.json'), registry, name);
}

describe('findCredentials', () => {
  const auths = {
    'registry.test': { auth: base64('all:one') },
    'registry.test/os': { auth: base64('os:two') },
    'registry.test/os/edge': { auth: base64('edge:three:with:colons') },
    'registry.test:5000': { auth: base64('port:four') },
    'https://index.docker.io/v1/': { auth: base64('hub:five') },
    'https://Other.test/v2/': { identitytoken: 'refresh-me', auth: base64('x:') },
    'plain.test': { username: 'user', password: 'pass' },
    'empty.test': {},
  };

  it.each([
    ['registry.test', 'os/edge', basic('edge', 'three:with:colons')],
    ['registry.test', 'os/edge/deep', basic('edge', 'three:with:colons')],
    ['registry.test', 'os/edgeling', basic('os', 'two')],
    ['registry.test', 'osx', basic('all', 'one')],
    ['registry.test:5000', 'os/edge', basic('port', 'four')],
    ['registry.test:6000', 'os/edge', { kind: 'none' }],
    ['evil-registry.test', 'os/edge', { kind: 'none' }],
    ['registry.test.evil', 'os/edge', { kind: 'none' }],
    ['docker.io', 'library/debian', basic('hub', 'five')],
    ['other.test', 'a', { kind: 'identity-token', token: 'refresh-me' }],
    ['plain.test', 'a', basic('user', 'pass')],
    ['empty.test', 'a', { kind: 'none' }],
  ])('for %s/%s gives %o', (registry, name, expected) => {
    expect(find({ auths }, registry, name)).toEqual(expected);
  });

  it('names the helper where the file leaves credentials to one', () => {
    const file = { auths: { 'stored.test': {} }, credsStore: 'desktop', credHelpers: { 'cloud.test': 'ecr-login' } };
    expect(find(file, 'cloud.test', 'a')).toMatchObject({ kind: 'helper', helper: 'ecr-login' });
    expect(find(file, 'stored.test', 'a')).toMatchObject({ kind: 'helper', helper: 'desktop' });
    expect(find(file, 'other.test', 'a')).toEqual({ kind: 'none' });
  });

  it.each([
    'not json, pa55word',
    '[]',
    '{"auths":{"a":"pa55word"}}',
    `{"auths":{"a":{"auth":"${base64('pa55word')}"}}}`,
    `{"auths":{"a":{"auth":"${base64(':pa55word')}"}}}`,
    '{"auths":{"a":{"auth":"%%pa55word%%"}}}',
  ])('refuses %s without quoting it', (text) => {
    const parse = () => parseCredentialFile(text, '/etc/kaon/auth.json');
    expect(parse).toThrow(expect.objectContaining({ code: 'config-invalid' }));
    expect(parse).toThrow(/auth\.json/);
    expect(parse).not.toThrow(/pa55word|cGE1NXdvcmQ/);
  });
});

describe('lookupInFiles', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kaon-auth-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  async function write(mode: number, text = JSON.stringify({ auths: { 'r.test': { auth: base64('u:p') } } })) {
    const path = join(directory, `auth-${mode.toString(8)}.json`);
    await writeFile(path, text, { mode });
    // The umask takes bits away.
    await chmod(path, mode);
    return lookupInFiles({ 'r.test': path });
  }

  it('reads the file of the registry each time', async () => {
    const lookup = await write(0o640);
    expect(await lookup('r.test', 'a')).toEqual(basic('u', 'p'));
    await write(0o640, JSON.stringify({ auths: { 'r.test': { auth: base64('u:rotated') } } }));
    expect(await lookup('r.test', 'a')).toEqual(basic('u', 'rotated'));
    expect(await lookup('other.test', 'a')).toEqual({ kind: 'none' });
    expect(await lookup('constructor', 'a')).toEqual({ kind: 'none' });
  });

  it.each([0o604, 0o660, 0o620, 0o650])('refuses a file of mode %o and names the fix', async (mode) => {
    const lookup = await write(mode);
    await expect(lookup('r.test', 'a')).rejects.toMatchObject({
      code: 'config-invalid',
      message: expect.stringContaining('chmod 640') as string,
    });
  });

  it('refuses a missing file, a directory, a device and a file that is too large', async () => {
    const huge = await write(0o600, ' '.repeat(1024 * 1024 + 1));
    await symlink('/dev/zero', join(directory, 'zero'));
    const paths = ['missing', '.', 'zero'].map((name) => join(directory, name));
    for (const lookup of [huge, ...paths.map((path) => lookupInFiles({ 'r.test': path }))]) {
      await expect(lookup('r.test', 'a')).rejects.toMatchObject({ code: 'config-invalid' });
    }
  });
});
