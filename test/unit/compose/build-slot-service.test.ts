import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildSlotService } from '../../../agent/compose/build-slot-service.ts';
import { parseSlotdOptions, type SlotdOptions } from '../../../agent/compose/slotd-options.ts';
import { parseConfig } from '../../../agent/config/parse-config.ts';
import type { ErrorReport } from '../../../agent/core/errors.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { SignedImage, SlotService } from '../../../agent/core/ports.ts';
import { makeSigner } from '../../fakes/signer.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { writerParts } from '../../fakes/writer-parts.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-slot-service-'));
  for (const slot of ['a', 'b']) writeFileSync(join(folder, `${slot}.img`), Buffer.alloc(8192, slot));
  writeFileSync(join(folder, 'grubenv'), environment);
  writeFileSync(join(folder, 'release.pub'), makeSigner('ed25519').publicPem);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const variables = 'ORDER=A B\nA_OK=1\nA_LEFT=4\nB_OK=0\nB_LEFT=0\nkaon_trial=-\nkaon_tries=0\n';
const environment = `# GRUB Environment Block\n${variables}`.padEnd(1024, '#');

interface Changes {
  readonly bootloader?: string;
  readonly stateDir?: string;
  readonly fault?: ErrorReport;
  readonly options?: Partial<SlotdOptions>;
}

async function build({
  bootloader = ', tries: 4',
  stateDir = 'state',
  fault,
  options,
}: Changes = {}): Promise<SlotService> {
  const text = `
formatVersion: 1
node: {compatible: acme}
stateDir: ${join(folder, stateDir)}
slots:
  a: {bootName: A, partitions: {root: {device: ${folder}/a.img, kind: file}}}
  b: {bootName: B, partitions: {root: {device: ${folder}/b.img, kind: file}}}
bootloader: {type: grub, environment: ${folder}/grubenv${bootloader}}
trust: {keys: {release: {file: ${folder}/release.pub}}, rules: [{prefix: r.io/os, require: {keys: [release]}}]}
`;
  const argv = ['--listen', join(folder, 'slotd.sock'), '--state-dir', join(folder, 'slotd'), '--booted-slot', 'a'];
  const parsed = parseSlotdOptions([...argv, '--allow-file-slots'], {});
  if (typeof parsed === 'string') throw new Error('the options ask for text');
  const config = parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text }] });
  return buildSlotService(
    config,
    fault,
    { ...parsed, ...options },
    { ...writerParts, clock: new EagerClock(), agentVersion: '1.0.0', onFault: () => undefined },
  );
}

const empty = new Uint8Array(Buffer.from('{}'));
const digest = `sha256:${createHash('sha256').update(empty).digest('hex')}`;
const unsigned: SignedImage = {
  image: {
    reference: parseReference('r.io/os:v2'),
    resolvedDigest: digest,
    indexBytes: undefined,
    manifestDigest: digest,
    manifestBytes: empty,
    configBytes: empty,
  },
  signatures: [],
};

async function* noLayer(): AsyncGenerator<Uint8Array> {
  yield* [];
}

const write = (service: SlotService) =>
  service.writeSlot('b', unsigned, noLayer, () => undefined, new AbortController().signal);

describe('the privileged service of a node', () => {
  it('reads the loader and the slots that the configuration names, and is not degraded', async () => {
    const node = await (await build()).readNode();
    expect(node).toMatchObject({
      booted: 'a',
      boot: { primary: 'a', trial: undefined, slots: { a: { state: 'good' }, b: { state: 'bad' } } },
      partitionSizes: { a: { root: 8192 }, b: { root: 8192 } },
    });
    expect(node.faults ?? []).toEqual([]);
  });

  it('judges by the keys of the configuration', async () => {
    await expect(write(await build())).rejects.toMatchObject({ code: 'signature-missing' });
  });

  it('keeps its own directory closed', async () => {
    await build();
    expect(statSync(join(folder, 'slotd')).mode & 0o077).toBe(0);
  });
});

describe('the shadow of the environment', () => {
  const unset = readFileSync('test/unit/bootloader/fixtures/created.bin');
  const isMarked = (path: string) => readFileSync(path, 'latin1').includes('A_OK=1');

  it('is made where the configuration names one that is missing', async () => {
    const shadow = join(folder, 'shadow');
    await (await build({ bootloader: `, tries: 4, shadow: ${shadow}` })).markGood('a');
    expect(isMarked(shadow)).toBe(true);
  });

  it('is the file beside the environment where there is one', async () => {
    const shadow = join(folder, 'grubenv.kaon');
    writeFileSync(shadow, unset);
    await (await build()).markGood('a');
    expect(isMarked(shadow)).toBe(true);
  });

  it('is not made where nobody named one', async () => {
    await (await build()).markGood('a');
    expect(existsSync(join(folder, 'grubenv.kaon'))).toBe(false);
  });

  it("is none of RAUC's loader, which reads none", async () => {
    const shadow = join(folder, 'grubenv.kaon');
    writeFileSync(shadow, unset);
    const raucs = 'ORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=0\nkaon_trial=-\nkaon_tries=0\n';
    writeFileSync(join(folder, 'grubenv'), `# GRUB Environment Block\n${raucs}`.padEnd(1024, '#'));
    await (await build({ bootloader: ', tries: 1, dialect: rauc' })).markGood('a');
    expect(isMarked(shadow)).toBe(false);
  });
});

describe('a degraded service', () => {
  const refused = { code: 'agent-degraded' };

  it('is made of the fault that it is given, and still ends a trial', async () => {
    const fault = { code: 'config-invalid', message: 'cannot read kaon.yaml' } as const;
    const service = await build({ fault });
    expect((await service.readNode()).faults).toEqual([fault]);
    await expect(write(service)).rejects.toMatchObject(refused);
    await expect(service.activate('b', 4, undefined)).rejects.toMatchObject(refused);
    await service.markGood('a');
  });

  it.each([
    ['missing', () => rmSync(join(folder, 'release.pub'))],
    ['no key', () => writeFileSync(join(folder, 'release.pub'), 'not a key')],
  ])('writes nothing where a key is %s, and reads the loader', async (_what, spoil) => {
    spoil();
    const service = await build();
    expect(await service.readNode()).toMatchObject({ booted: 'a', faults: [{ code: 'key-invalid' }] });
    await expect(write(service)).rejects.toMatchObject(refused);
  });
});

describe('a node that cannot be told', () => {
  it('has a loader whose environment is missing: reading it says so', async () => {
    rmSync(join(folder, 'grubenv'));
    const service = await build();
    await expect(service.readNode()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
  });

  it('has no slot that / is mounted from', async () => {
    const nowhere = build({ options: { bootedSlot: undefined } });
    await expect(nowhere).rejects.toMatchObject({ code: 'booted-slot-unknown' });
  });

  it('has a directory for its records that cannot be made', async () => {
    mkdirSync(join(folder, 'etc'));
    writeFileSync(join(folder, 'etc', 'file'), '');
    await expect(build({ options: { stateDir: join(folder, 'etc', 'file') } })).rejects.toMatchObject({
      code: 'EEXIST',
    });
  });
});
