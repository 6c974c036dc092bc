import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildSystemdBoot } from '../../../agent/compose/build-systemd-boot.ts';
import { parseConfig } from '../../../agent/config/parse-config.ts';
import type { TrustedImage } from '../../../agent/core/ports.ts';
import { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { sampleUki } from '../../fakes/sample-uki.ts';
import { sha256 } from '../../fakes/sample-image.ts';

let folder: string;
const at = (path: string) => join(folder, path);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-systemd-boot-'));
  for (const path of ['esp/loader/entries', 'esp/kaon/a', 'xbootldr/loader/entries', 'xbootldr/kaon/a', 'run']) {
    mkdirSync(at(path), { recursive: true });
  }
});
afterEach(() => rmSync(folder, { recursive: true }));

function build(
  bootloader: string,
  [optionsOfA, optionsOfB] = [' bootOptions: root=/dev/a,', ' bootOptions: root=/dev/b,'],
) {
  const text = `formatVersion: 1
node: {compatible: acme}
slots:
  a: {bootName: A,${optionsOfA} partitions: {root: {device: /dev/a}}}
  b: {bootName: B,${optionsOfB} partitions: {root: {device: /dev/b}}}
bootloader: ${bootloader}
`;
  const { bootloader: config, slots } = parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text }] });
  if (config.type !== 'systemd-boot') throw new Error('another loader was configured');
  return buildSystemdBoot(config, slots, { runtimeDir: at('run'), areFoldersAllowed: true, onFault: () => undefined });
}

const kernel = Buffer.from('a kernel');
const image: TrustedImage = {
  ...{
    manifestDigest: sha256(kernel),
    rule: 'r.io/os',
    keyIds: [],
    isDowngradeAllowed: false,
    name: 'edge',
    version: '2',
  },
  ...{ compatible: ['acme'], rollbackIndex: 0, minimumAgent: undefined, agentVersion: undefined, partitions: [] },
  boot: {
    payloads: [{ role: 'kernel', layerDigest: sha256(kernel), layerSizeBytes: kernel.byteLength }],
    options: 'ro',
  },
};
const descriptor = TrustedDescriptor.mintAfterVerification({
  manifestDigest: image.manifestDigest,
  partitions: [],
  boot: image.boot,
});

async function* layer(): AsyncGenerator<Uint8Array> {
  yield kernel;
}

/** Stages the image for slot b and arms it; the entry that the loader then lists, and the folder it lies in. */
async function armed(bootloader: string, root: string): Promise<string> {
  writeFileSync(at(`${root}/kaon/a/kernel`), 'the kernel that runs');
  writeFileSync(at(`${root}/loader/entries/kaon-a.conf`), 'linux /kaon/a/kernel\noptions root=/dev/a\n');
  const node = build(bootloader);
  await node.payloads.stage('b', image, descriptor, layer, () => undefined, new AbortController().signal);
  await node.bootloader.activate('b', 3);
  expect(await node.bootloader.readStatus()).toMatchObject({
    primary: 'b',
    trial: 'b',
    slots: { a: { state: 'good' } },
  });
  expect(readdirSync(at(`${root}/kaon/b`))).toEqual([`kernel-0-${sha256(kernel).slice(7, 23)}`]);
  return readFileSync(at(`${root}/loader/entries/kaon-b+3.conf`), 'utf8');
}

describe('systemd-boot as it is configured', () => {
  it('has entries and kernels on the ESP, with the options of the slot behind those of the image', async () => {
    const entry = await armed(`{type: systemd-boot, esp: {path: ${at('esp')}}}`, 'esp');
    expect(entry).toContain('options ro root=/dev/b kaon.slot=B\n');
  });

  it('has them on XBOOTLDR where there is one, and heeds the settings on the ESP', async () => {
    const bootloader = `{type: systemd-boot, esp: {path: ${at('esp')}}, xbootldr: {path: ${at('xbootldr')}}}`;
    await armed(bootloader, 'xbootldr');
    expect(readdirSync(at('esp/loader/entries'))).toEqual([]);
    writeFileSync(at('esp/loader/loader.conf'), 'default kaon-a*\n');
    const node = build(bootloader);
    expect((await node.bootloader.readStatus()).primary).toBe('a');
  });

  it('has images in EFI/Linux where it is configured so, with no options but their own', async () => {
    const uki = sampleUki({ '.osrel': 'ID=edge\nIMAGE_VERSION=2\n', '.linux': 'k' });
    mkdirSync(at('esp/EFI/Linux'), { recursive: true });
    writeFileSync(at('esp/EFI/Linux/kaon-a.efi'), sampleUki({ '.osrel': 'ID=edge\nIMAGE_VERSION=3\n' }));
    const config = `{type: systemd-boot, entries: type2, esp: {path: ${at('esp')}}}`;
    const node = build(config, ['', '']);
    const layerDigest = sha256(uki);
    const boot = {
      payloads: [{ role: 'uki', layerDigest, layerSizeBytes: uki.byteLength }],
      options: undefined,
    } as const;
    const minted = TrustedDescriptor.mintAfterVerification({ manifestDigest: layerDigest, partitions: [], boot });
    const source = async function* () {
      yield uki;
    };
    await node.payloads.stage('b', { ...image, boot }, minted, source, () => undefined, new AbortController().signal);
    await node.bootloader.activate('b', 3);
    expect(readdirSync(at('esp/EFI/Linux')).toSorted()).toEqual(['kaon-a.1+0.efi', 'kaon-a.2+0.efi', 'kaon-b+3.efi']);
    expect(readFileSync(at('esp/EFI/Linux/kaon-b+3.efi')).equals(uki)).toBe(true);
    await node.bootloader.markGood('b');
    expect(readdirSync(at('esp/EFI/Linux')).toSorted()).toEqual(['kaon-a.2+0.efi', 'kaon-b.efi']);
    expect(() => build(config)).toThrow(/slots.a.bootOptions: an entry of type 2 has its options inside its image/);
  });

  it('says what room there is for payloads', async () => {
    const { payloads } = build(`{type: systemd-boot, esp: {path: ${at('esp')}}}`);
    const budget = await payloads.budget('b', 'write');
    expect(budget.availableBytes).toBeGreaterThan(budget.clusterBytes);
  });
});
