import { describe, expect, it } from 'vitest';
import { degradedConfig } from '../../../agent/compose/degraded-config.ts';
import { loadTriggerKeys, loadTrustPolicy } from '../../../agent/compose/load-trust.ts';
import { parseConfig } from '../../../agent/config/parse-config.ts';

const least = `
formatVersion: 1
node: {compatible: acme}
slots:
  a: {bootName: A, partitions: {root: {device: /dev/a}}}
  b: {bootName: B, partitions: {root: {device: /dev/b}}}
bootloader: {type: grub}
`;

describe('the configuration of an agent that has none', () => {
  const config = degradedConfig('/var/lib/kaon');
  const usual = parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text: least }] });

  it('keeps its state where it is told, and serves where a client looks by itself', () => {
    expect(config.stateDir).toBe('/var/lib/kaon');
    expect(config.api.socket).toBe(usual.api.socket);
  });

  it('trusts no image and no controller, and names no device', async () => {
    await expect(loadTrustPolicy(config.trust, () => ({ nowMs: 0, source: 'clock' }))).resolves.toBeDefined();
    await expect(loadTriggerKeys(config.triggers)).resolves.toEqual([]);
    expect(config.trust).toEqual({ keys: {}, identities: {}, trustedRoot: undefined, revoked: [], rules: [] });
    expect([config.slots.a.partitions, config.slots.b.partitions]).toEqual([{}, {}]);
  });

  it('says everything that a whole configuration says', () => {
    expect(Object.keys(config).sort()).toEqual(Object.keys(usual).sort());
    expect(Object.keys(config.update.retry).sort()).toEqual(Object.keys(usual.update.retry).sort());
  });
});
