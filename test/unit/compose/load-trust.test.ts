import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadTriggerKeys, loadTrustPolicy } from '../../../agent/compose/load-trust.ts';
import type { TrustConfig } from '../../../agent/config/trust-config.ts';
import { makeSigner } from '../../fakes/signer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-keys-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function keyFile(name: string, content: string | Buffer = makeSigner('ed25519').publicPem) {
  const file = join(folder, name);
  writeFileSync(file, content);
  return { file, validity: undefined };
}

const rule = {
  prefix: 'r.io/os',
  require: { keys: ['one', 'two'], identities: [] as readonly string[], atLeast: 2, maxAgeMs: undefined },
  isLogEntryRequired: false,
  provenance: undefined,
  isDowngradeAllowed: false,
};

function loadPolicy(changes: Partial<TrustConfig>) {
  const none: TrustConfig = { keys: {}, identities: {}, trustedRoot: undefined, revoked: [], rules: [] };
  return loadTrustPolicy({ ...none, ...changes }, () => ({ nowMs: 0, source: 'clock' }));
}

describe('the keys of the configuration', () => {
  it('make the trust policy', async () => {
    const keys = { one: keyFile('one.pub'), two: keyFile('two.pub') };
    await expect(loadPolicy({ keys, rules: [rule] })).resolves.toBeDefined();
  });

  it('are read anew each time', async () => {
    const keys = { one: keyFile('one.pub'), two: keyFile('two.pub') };
    await loadPolicy({ keys, rules: [rule] });
    writeFileSync(keys.two.file, 'not a key');
    await expect(loadPolicy({ keys, rules: [rule] })).rejects.toMatchObject({ code: 'key-invalid' });
  });

  it('can never ask for two signatures where two ids hold one key', async () => {
    const { publicPem } = makeSigner('ed25519');
    const keys = { one: keyFile('one.pub', publicPem), two: keyFile('two.pub', publicPem) };
    await expect(loadPolicy({ keys, rules: [rule] })).rejects.toMatchObject({ code: 'config-invalid' });
  });

  it('are read with the trusted root only where a rule needs it', async () => {
    const keys = { one: keyFile('one.pub'), two: keyFile('two.pub') };
    const { file: trustedRoot } = keyFile('root.json', '{}');
    await expect(loadPolicy({ keys, trustedRoot, rules: [rule] })).resolves.toBeDefined();
    const identities = { ci: { issuer: 'https://issuer.test', subject: 'ci@acme.io' } };
    const byIdentity = { ...rule, require: { ...rule.require, keys: [], identities: ['ci'], atLeast: 1 } };
    for (const rules of [[byIdentity], [{ ...rule, isLogEntryRequired: true }]]) {
      await expect(loadPolicy({ keys, identities, trustedRoot, rules })).rejects.toMatchObject({
        code: 'config-invalid',
        message: expect.stringContaining('trust.trustedRoot') as string,
      });
    }
  });

  it('are refused where one is missing, whether or not a rule names it', async () => {
    const keys = { spare: { file: join(folder, 'none.pub'), validity: undefined } };
    await expect(loadPolicy({ keys, rules: [] })).rejects.toMatchObject({
      code: 'key-invalid',
      message: expect.stringContaining('none.pub') as string,
    });
  });

  it('come with the actions that each controller may ask for', async () => {
    const keys = {
      stager: { ...keyFile('stager.pub'), actions: ['stage'] as const },
      all: { ...keyFile('all.pub'), actions: ['stage', 'activate'] as const },
    };
    const found = await loadTriggerKeys({ keys });
    expect(found.map(({ key, actions }) => [key.id, actions])).toEqual([
      ['stager', ['stage']],
      ['all', ['stage', 'activate']],
    ]);
  });

  it('are refused where one of a controller cannot be used', async () => {
    const keys = { fleet: { ...keyFile('fleet.pub', makeSigner('ed25519').privatePem), actions: ['stage'] as const } };
    await expect(loadTriggerKeys({ keys })).rejects.toMatchObject({ code: 'key-invalid' });
  });
});
