import { describe, expect, it } from 'vitest';
import { SystemdBootBootloader, type SystemdBootOptions } from '../../../bootloader/systemd-boot.ts';
import type { ChoosingVariable, EfiVariables } from '../../../bootloader/systemd-boot-overrides.ts';
import { sampleUki } from '../../fakes/sample-uki.ts';
import { PowerLossDirectory } from '../../fakes/power-loss-directory.ts';
import { blessBoot, bootSystemdBoot } from '../../fakes/systemd-boot-firmware.ts';
import { eachPowerLoss } from './each-power-loss.ts';

/** A message that names `part`. */
function containing(part: string): unknown {
  return expect.stringContaining(part);
}

const folder = 'loader/entries';

function textOf(slot: string, version?: number): string {
  const order = version === undefined ? '' : `sort-key kaon\nversion ${version}\n`;
  return `title Node ${slot}\n${order}linux /kaon-${slot}/vmlinuz\noptions root=PARTLABEL=root-${slot}\nx-note keep me\n`;
}

/** A node with both kernels; entries by their file names. */
function nodeWith(
  entries: Readonly<Record<string, string>>,
  options: Partial<SystemdBootOptions> = {},
  beforeStep?: () => void,
) {
  const files: Record<string, string> = { 'kaon-a/vmlinuz': 'k', 'kaon-b/vmlinuz': 'k', vmlinuz: 'k' };
  for (const [name, text] of Object.entries(entries)) files[name.includes('/') ? name : `${folder}/${name}`] = text;
  const partition = new PowerLossDirectory(files, beforeStep);
  const names = () => partition.paths.filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(15));
  return { partition, names, loader: new SystemdBootBootloader(partition, { entryPrefix: 'kaon', ...options }) };
}

const proven = { 'kaon-a.conf': textOf('a', 4), 'kaon-b.conf.staged': textOf('b') };

class MemoryVariables implements EfiVariables {
  values: Partial<Record<ChoosingVariable, string>>;
  constructor(values: Partial<Record<ChoosingVariable, string>>) {
    this.values = values;
  }
  async read(name: ChoosingVariable) {
    return this.values[name];
  }
  async remove(name: ChoosingVariable) {
    this.values = Object.fromEntries(Object.entries(this.values).filter(([known]) => known !== name));
  }
}

describe('activation', () => {
  it('lists the staged entry with a counter and a version above the other one, and keeps all else of it', async () => {
    const { loader, partition, names } = nodeWith(proven);
    await loader.activate('b', 3);
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b+3.conf', 'kaon-b.conf.staged']);
    expect(partition.textOf(`${folder}/kaon-b+3.conf`)).toBe(`${textOf('b')}sort-key kaon\nversion 5\n`);
    expect(partition.textOf(`${folder}/kaon-a.conf`)).toBe(textOf('a', 4));
  });

  it('prefers an older image again by giving it the larger version', async () => {
    const { loader, partition, names } = nodeWith({ 'kaon-a.conf': textOf('a', 4), 'kaon-b.conf': textOf('b', 3) });
    await loader.activate('b', 2);
    expect(bootSystemdBoot(partition)).toBe('kaon-b');
    expect(partition.textOf(`${folder}/kaon-b+1-1.conf`)).toContain('version 5\n');
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b+1-1.conf', 'kaon-b.conf.staged']);
  });

  it.each([
    [{}, 'there is no loader/entries/kaon-b.conf.staged'],
    [{ 'kaon-b.conf.staged': '' }, 'names no file to start, or one that is not there'],
    [{ 'kaon-b.conf.staged': textOf('c') }, 'names no file to start, or one that is not there'],
  ])('refuses a slot that could not start: %j', async (staged, reason) => {
    const { loader, names } = nodeWith({ 'kaon-a.conf': textOf('a', 4), ...staged });
    const before = names();
    await expect(loader.activate('b', 3)).rejects.toMatchObject({
      code: 'boot-payload-missing',
      message: containing(reason),
    });
    expect(names()).toEqual(before);
  });

  it.each([
    ['default kaon-a.conf', 'line 2 of loader/loader.conf'],
    ['default kaon-b*', 'make it "default kaon-*"'],
    ['preferred kaon-b.conf', 'line 2'],
    ['default @saved', 'line 2'],
    ['default kaon-b+0*', 'line 2'],
    ['default rescue.conf', 'line 2'],
  ])('refuses while loader.conf has %j, and changes nothing', async (line, reason) => {
    const { loader, names } = nodeWith({
      ...proven,
      'loader/loader.conf': `timeout 0\n${line}\n`,
      'rescue.conf': 'title r\nlinux /vmlinuz\n',
    });
    const before = names();
    await expect(loader.activate('b', 3)).rejects.toMatchObject({
      code: 'bootloader-unsupported',
      message: containing(reason),
    });
    expect(names()).toEqual(before);
  });

  const image = sampleUki({ '.osrel': 'ID=debian\nVERSION_ID=12\n' }).toString('latin1');

  it.each([{ 'first.conf': 'sort-key aaa\nlinux /vmlinuz\n' }, { 'EFI/Linux/debian.efi': image }])(
    'refuses beside what stands before it, until a default takes both slots: %j',
    async (foreign) => {
      const refused = nodeWith({ ...proven, ...foreign });
      await expect(refused.loader.activate('b', 3)).rejects.toMatchObject({ code: 'bootloader-unsupported' });
      const { loader } = nodeWith({ ...proven, ...foreign, 'loader/loader.conf': 'default kaon-*\n' });
      await loader.activate('b', 3);
      expect((await loader.readStatus()).primary).toBe('b');
    },
  );

  it.each([
    ['behind', image.replace('ID=debian', 'ID=zebian')],
    ['not listed, for it has no release', sampleUki({ '.linux': 'k' }).toString('latin1')],
    ['no image', 'MZ'],
  ])('arms beside a file in EFI/Linux that is %s', async (_what, bytes) => {
    const { loader } = nodeWith({ ...proven, 'EFI/Linux/other.efi': bytes });
    await loader.activate('b', 3);
    expect((await loader.readStatus()).primary).toBe('b');
  });

  it('refuses a slot whose machine id sorts it behind the other one', async () => {
    const { loader } = nodeWith({
      'kaon-a.conf': `machine-id 1\n${textOf('a', 4)}`,
      'kaon-b.conf.staged': `machine-id 2\n${textOf('b')}`,
    });
    await expect(loader.activate('b', 3)).rejects.toMatchObject({
      code: 'bootloader-unsupported',
      message: containing('kaon-a.conf stands before it'),
    });
  });

  it('clears EFI variables that beat the counter, and only these', async () => {
    const variables = new MemoryVariables({ LoaderEntryDefault: 'kaon-a.conf', LoaderEntryPreferred: 'kaon-*' });
    const { loader } = nodeWith(proven, { variables });
    expect((await loader.readStatus()).primary).toBe('a');
    await loader.activate('b', 3);
    expect(variables.values).toEqual({ LoaderEntryPreferred: 'kaon-*' });
    expect((await loader.readStatus()).primary).toBe('b');
  });

  it('reads loader.conf and foreign entries from the ESP when the slots’ entries are on XBOOTLDR', async () => {
    const esp = new PowerLossDirectory({ 'loader/loader.conf': 'default kaon-a.conf\n' });
    const { loader } = nodeWith(proven, { esp });
    await expect(loader.activate('b', 3)).rejects.toMatchObject({ code: 'bootloader-unsupported' });
  });
});

describe('the status', () => {
  it('takes a slot for bad whose kernel is gone, for the loader does not list it', async () => {
    const { loader, partition } = nodeWith(proven);
    partition.drop('kaon-a/vmlinuz');
    expect(await loader.readStatus()).toMatchObject({ primary: undefined, slots: { a: { state: 'bad' } } });
    await expect(loader.activate('b', 3)).rejects.toMatchObject({ code: 'boot-fallback-missing' });
  });

  it('refuses to read an entry without bounds', async () => {
    const { loader } = nodeWith({ ...proven, 'huge.conf': 'x'.repeat(17_000) });
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
  });
});

describe('marking', () => {
  it('leaves a good slot’s entry to systemd-bless-boot’s name, content as it was armed', async () => {
    const { loader, partition, names } = nodeWith(proven);
    await loader.activate('b', 3);
    bootSystemdBoot(partition);
    blessBoot(partition, 'kaon-b');
    const blessed = partition.textOf(`${folder}/kaon-b.conf`);
    await loader.markGood('b');
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b.conf', 'kaon-b.conf.staged']);
    expect(partition.textOf(`${folder}/kaon-b.conf`)).toBe(blessed);
  });

  it('proves a trial in its last boot, which the loader already sorts last', async () => {
    const { loader, partition } = nodeWith(proven);
    await loader.activate('b', 1);
    expect(bootSystemdBoot(partition)).toBe('kaon-b');
    expect((await loader.readStatus()).primary).toBe('a');
    await loader.markGood('b');
    expect(bootSystemdBoot(partition)).toBe('kaon-b');
  });

  it('never leaves a running trial without a listed entry while it proves it', async () => {
    const cuts = eachPowerLoss({
      fateCount: 32,
      makeNode: (beforeStep) => nodeWith(proven, {}, beforeStep),
      prepare: async ({ loader, partition }) => {
        await loader.activate('b', 3);
        expect(bootSystemdBoot(partition)).toBe('kaon-b');
      },
      act: ({ loader }) => loader.markGood('b'),
    });
    for await (const { node, where } of cuts) expect(bootSystemdBoot(node.partition), where).toBe('kaon-b');
  });

  it('does not take a slot in trial for a fallback', async () => {
    const { loader, names } = nodeWith({ 'kaon-a+2-1.conf': textOf('a', 4), 'kaon-b.conf.staged': textOf('b') });
    const before = names();
    await expect(loader.activate('b', 3)).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    await expect(loader.markBad('b')).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    expect(names()).toEqual(before);
  });

  it('keeps the entry of a slot that it marks bad under a name that is not listed', async () => {
    const { loader, names, partition } = nodeWith({ 'kaon-a.conf': textOf('a', 4), 'kaon-b.conf': textOf('b', 3) });
    await loader.markBad('b');
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b.conf.staged']);
    expect(partition.textOf(`${folder}/kaon-b.conf.staged`)).toBe(textOf('b', 3));
  });

  it('does not take a name in other letters for a second one, which FAT has not', async () => {
    const { loader, names } = nodeWith({ ...proven, 'KAON-B.CONF': textOf('b', 3) });
    await loader.markGood('b');
    expect(names()).toContain('kaon-b.conf');
    expect(names()).toContain('KAON-B.CONF');
  });

  it('removes all names of a slot that it marks bad', async () => {
    const { loader, names } = nodeWith({ ...proven, 'kaon-b.conf': textOf('b', 3), 'kaon-b+2-1.conf': textOf('b', 5) });
    await loader.markBad('b');
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b.conf.staged']);
  });
});

describe('repair', () => {
  const double = { ...proven, 'kaon-b.conf': textOf('b', 5), 'kaon-b+2-1.conf': textOf('b', 5) };

  it('is asked for where a slot has two names, or none is good', async () => {
    expect((await nodeWith(proven).loader.readStatus()).isUntidy).toBeUndefined();
    expect((await nodeWith(double).loader.readStatus()).isUntidy).toBe(true);
    const lost = nodeWith({ 'kaon-b+2-1.conf': textOf('b', 5) });
    expect((await lost.loader.readStatus()).isUntidy).toBe(true);
  });

  it('keeps the counted one of two names of a slot that does not run', async () => {
    const { loader, names } = nodeWith(double);
    expect(await loader.repair('a', true)).toBe(true);
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b+2-1.conf', 'kaon-b.conf.staged']);
    expect(await loader.repair('a', true)).toBe(false);
  });

  it('keeps the proven one of two names of the slot that runs', async () => {
    const { loader, names } = nodeWith(double);
    expect(await loader.repair('b', true)).toBe(true);
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b.conf', 'kaon-b.conf.staged']);
  });

  it('keeps the counted one of the slot that runs when it was armed after the proven one', async () => {
    const { loader, names } = nodeWith({ ...double, 'kaon-b.conf': textOf('b', 3) });
    await loader.repair('b', true);
    expect(names()).toContain('kaon-b+2-1.conf');
    expect(names()).not.toContain('kaon-b.conf');
  });

  it('keeps the fewest tries of two counted names, as a rename that was cut leaves them', async () => {
    const { loader, names } = nodeWith({
      ...proven,
      'kaon-b+3.conf': textOf('b', 5),
      'kaon-b+2-1.conf': textOf('b', 5),
    });
    await loader.repair('b', true);
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b+2-1.conf', 'kaon-b.conf.staged']);
  });

  it('removes what a cut left behind, and nothing that is not ours', async () => {
    const { loader, names } = nodeWith({ ...proven, 'kaon-b.conf.tmp': 'li', 'mine.tmp': 'x', 'kaon-c.conf.tmp': 'x' });
    expect(await loader.repair('a', false)).toBe(true);
    expect(names()).toEqual(['kaon-a.conf', 'kaon-b.conf.staged', 'kaon-c.conf.tmp', 'mine.tmp']);
  });

  it('writes the entry of the booted slot anew when nothing else is proven', async () => {
    const { loader, partition, names } = nodeWith({
      'kaon-a.conf.staged': textOf('a'),
      'kaon-b+2-1.conf': textOf('b', 5),
    });
    expect(await loader.repair('a', false)).toBe(true);
    expect(names()).toEqual(['kaon-a.conf', 'kaon-a.conf.staged', 'kaon-b.conf.staged']);
    expect(bootSystemdBoot(partition)).toBe('kaon-a');
  });

  it('does not list a booted slot again that was marked bad', async () => {
    const { loader, partition } = nodeWith(proven);
    await loader.activate('b', 3);
    expect(bootSystemdBoot(partition)).toBe('kaon-b');
    await loader.markBad('b');
    expect(await loader.repair('b', true)).toBe(false);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
  });

  it('says what is missing when it has nothing to write an entry from', async () => {
    const { loader } = nodeWith({});
    await expect(loader.repair('a', false)).rejects.toMatchObject({
      code: 'boot-payload-missing',
      message: containing('kaon-a.conf.staged'),
    });
  });

  it.each([
    ['double names', double, 'b'],
    ['a lost name', { 'kaon-a.conf.staged': textOf('a'), 'kaon-b+2-1.conf': textOf('b', 5) }, 'a'],
  ] as const)(
    'of %s ends in the booted slot and single names, after power was lost anywhere in it',
    async (_name, entries, booted) => {
      const cuts = eachPowerLoss({
        fateCount: 16,
        makeNode: (beforeStep) => nodeWith(entries, {}, beforeStep),
        act: ({ loader }) => loader.repair(booted, false),
      });
      for await (const { node, where: cut } of cuts) {
        await node.loader.repair(booted, false);
        const listed = node.names().filter((name) => !name.endsWith('.staged'));
        const where = `${cut}: ${listed.join(' ')}`;
        expect(new Set(listed.map((name) => name.slice(0, 6))).size, where).toBe(listed.length);
        expect(bootSystemdBoot(node.partition), where).toBe(`kaon-${booted}`);
      }
    },
  );
});
