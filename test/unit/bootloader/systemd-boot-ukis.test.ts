import { describe, expect, it } from 'vitest';
import type { SlotName } from '../../../bootloader/bootloader.ts';
import type { ChoosingVariable, EfiVariables } from '../../../bootloader/systemd-boot-overrides.ts';
import type { SystemdBootOptions } from '../../../bootloader/systemd-boot.ts';
import { SystemdBootUkis } from '../../../bootloader/systemd-boot-ukis.ts';
import { PowerLossDirectory } from '../../fakes/power-loss-directory.ts';
import { sampleUki } from '../../fakes/sample-uki.ts';
import { blessBoot, bootSystemdBoot, startEntry } from '../../fakes/systemd-boot-firmware.ts';
import { eachPowerLoss } from './each-power-loss.ts';

const folder = 'EFI/Linux/';

/** An image of this version; `kernel` makes it differ from others of its version. */
function image(version: string, kernel = 'k'): string {
  return sampleUki({ '.osrel': `ID=edge\nIMAGE_VERSION=${version}\n`, '.linux': kernel }).toString('latin1');
}

/** A node with these images, by their names in `EFI/Linux` or by their paths. */
function nodeWith(
  images: Readonly<Record<string, string>>,
  options: Partial<SystemdBootOptions> = {},
  beforeStep?: () => void,
) {
  const files = Object.entries(images).map(([name, text]) => [name.includes('/') ? name : folder + name, text]);
  const partition = new PowerLossDirectory(Object.fromEntries(files) as Record<string, string>, beforeStep);
  const names = () =>
    partition.paths.filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length));
  return { partition, names, loader: new SystemdBootUkis(partition, { entryPrefix: 'kaon', ...options }) };
}

function boots(partition: PowerLossDirectory, count: number): readonly (string | undefined)[] {
  return Array.from({ length: count }, () => bootSystemdBoot(partition));
}

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

const newer = { 'kaon-a.efi': image('2.9'), 'kaon/b/staged.efi': image('2.10') };
const older = { 'kaon-a.efi': image('2.10'), 'kaon/b/staged.efi': image('2.9') };

describe('a newer image', () => {
  it('is armed by its listed name alone, before the fallback’s', async () => {
    const { loader, partition, names } = nodeWith(newer);
    await loader.activate('b', 2);
    expect(names()).toEqual(['kaon-a.efi', 'kaon-b+2.efi']);
    expect(partition.paths).not.toContain('kaon/b/staged.efi');
    expect(boots(partition, 3)).toEqual(['kaon-b', 'kaon-b', 'kaon-a']);
    expect(names()).toEqual(['kaon-a.efi', 'kaon-b+0-2.efi']);
    await loader.markBad('b');
    expect(names()).toEqual(['kaon-a.efi']);
    expect(partition.paths).toContain('kaon/b/staged.efi');
  });

  it('is proven by a copy, or by the name that systemd-bless-boot gave it', async () => {
    for (const isBlessed of [false, true]) {
      const { loader, partition, names } = nodeWith(newer);
      await loader.activate('b', 2);
      boots(partition, 1);
      if (isBlessed) blessBoot(partition, 'kaon-b');
      await loader.markGood('b');
      expect(names()).toEqual(['kaon-a.efi', 'kaon-b.efi']);
      expect(await loader.readStatus()).toMatchObject({ primary: 'b', slots: { a: { state: 'good' } } });
    }
  });
});

describe('an older image', () => {
  it('is armed by copies of the fallback that count no tries, and so stand last', async () => {
    const { loader, partition, names } = nodeWith(older);
    await loader.activate('b', 2);
    expect(names()).toEqual(['kaon-a.1+0.efi', 'kaon-a.2+0.efi', 'kaon-b+2.efi']);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: 'b',
      trialTries: 2,
      slots: { a: { state: 'good', triesLeft: 9 }, b: { state: 'trial', triesLeft: 2 } },
    });
    expect((await loader.readStatus()).isUntidy).toBeUndefined();
    expect(boots(partition, 4)).toEqual(['kaon-b', 'kaon-b', 'kaon-a.2', 'kaon-a.2']);
  });

  it('that ran out leaves the fallback to be given its own name back', async () => {
    const { loader, partition, names } = nodeWith(older);
    await loader.activate('b', 1);
    expect(boots(partition, 2)).toEqual(['kaon-b', 'kaon-a.2']);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', isUntidy: true, slots: { a: { state: 'good' } } });
    expect(await loader.repair('a', false)).toBe(true);
    expect(names()).toEqual(['kaon-a.efi', 'kaon-b+0-1.efi']);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', isUntidy: undefined });
    expect(await loader.repair('a', false)).toBe(false);
  });

  it('that ran out falls back, too, when the loader’s own rename of the fallback is lost', async () => {
    const { loader, partition, names } = nodeWith(older);
    await loader.activate('b', 1);
    boots(partition, 2);
    partition.drop(`${folder}kaon-a.2+0-1.efi`);
    expect(bootSystemdBoot(partition)).toBe('kaon-a.1');
    await loader.repair('a', false);
    expect(names()).toEqual(['kaon-a.efi', 'kaon-b+0-1.efi']);
  });

  it('that was proven stays first, the newer one behind it, until that slot is written', async () => {
    const { loader, partition, names } = nodeWith(older);
    await loader.activate('b', 2);
    boots(partition, 1);
    await loader.markGood('b');
    expect(names()).toEqual(['kaon-a.2+0.efi', 'kaon-b.efi']);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', trial: undefined, isUntidy: undefined });
    expect((await loader.readStatus()).slots).toMatchObject({ a: { state: 'good' }, b: { state: 'good' } });
    expect(boots(partition, 2)).toEqual(['kaon-b', 'kaon-b']);
    await loader.markBad('a');
    expect(names()).toEqual(['kaon-b.efi']);
  });

  it('gives way to the newer one again, which has its own name then', async () => {
    const { loader, partition, names } = nodeWith(older);
    await loader.activate('b', 2);
    boots(partition, 1);
    await loader.markGood('b');
    await loader.activate('a', 2);
    expect(names()).toEqual(['kaon-a+2.efi', 'kaon-b.efi']);
    expect(boots(partition, 3)).toEqual(['kaon-a', 'kaon-a', 'kaon-b']);
  });

  it('has its tries taken when the fallback is proven beside it', async () => {
    const { loader, partition } = nodeWith({ 'kaon-a.efi': image('1'), 'kaon-b+8-1.efi': image('2') });
    await loader.markGood('a');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
    expect(bootSystemdBoot(partition)).toBe('kaon-a');
  });

  it('leaves a fallback that systemd-bless-boot named, and arms over it', async () => {
    const { loader, partition, names } = nodeWith(older);
    await loader.activate('b', 1);
    expect(boots(partition, 2)).toEqual(['kaon-b', 'kaon-a.2']);
    blessBoot(partition, 'kaon-a.2');
    expect(names()).toEqual(['kaon-a.1+0.efi', 'kaon-a.2.efi', 'kaon-b+0-1.efi']);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', isUntidy: true, slots: { a: { state: 'good' } } });
    partition.drop(`${folder}kaon-a.1+0.efi`);
    expect((await loader.readStatus()).isUntidy).toBe(true);
    await loader.activate('b', 1);
    expect(boots(partition, 2)).toEqual(['kaon-b', 'kaon-a.2']);
    await loader.repair('a', false);
    expect(names()).toEqual(['kaon-a.efi', 'kaon-b+0-1.efi']);
  });
});

describe('power lost', () => {
  it.each([
    ['newer', newer],
    ['older', older],
  ])('while a running trial of a %s image is proven never leaves it without a name', async (_name, images) => {
    const cuts = eachPowerLoss({
      fateCount: 32,
      makeNode: (beforeStep) => nodeWith(images, {}, beforeStep),
      prepare: async ({ loader, partition }) => {
        await loader.activate('b', 3);
        expect(bootSystemdBoot(partition)).toBe('kaon-b');
      },
      act: ({ loader }) => loader.markGood('b'),
    });
    for await (const { node, where } of cuts) expect(bootSystemdBoot(node.partition), where).toBe('kaon-b');
  });

  it('in any step of many updates, up and down in versions, always leaves the proven image or the one in trial', async () => {
    for (let seed = 1; seed <= 150; seed += 1) await liveThroughUpdates(seed);
  });
});

/** A small generator of the same numbers for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >>> 8) % below;
  };
}

/** Updates of random versions, with a cut in some step of each, by what the agent does at each start. */
async function liveThroughUpdates(seed: number): Promise<void> {
  const random = randomOf(seed);
  let left = Number.POSITIVE_INFINITY;
  const { loader, partition, names } = nodeWith({ 'kaon-a.efi': image('5', 'proven 0') }, {}, () => {
    if (left-- <= 0) throw new Error('the power goes');
  });
  let proven = 'proven 0';
  const node: { booted: SlotName } = { booted: 'a' };
  /** Does something that power may cut, and boots then: `undefined` where it was not cut. */
  const attempt = async (act: () => Promise<unknown>): Promise<boolean> => {
    left = random(24);
    const isDone = await act().then(
      () => true,
      (error: unknown) => {
        if (error instanceof Error && error.message === 'the power goes') return false;
        throw error;
      },
    );
    left = Number.POSITIVE_INFINITY;
    if (!isDone) partition.losePower(() => (random(2) === 0 ? 'lost' : 'written'));
    return isDone;
  };
  const boot = (allowed: readonly string[]): string => {
    const path = startEntry(partition)?.path ?? 'nothing';
    const kernel = allowed.find((each) => partition.textOf(path).endsWith(each));
    expect(kernel, `seed ${seed}: ${path} of ${names().join(' ')}, want one of ${allowed.join(', ')}`).toBeDefined();
    node.booted = path.startsWith(`${folder}kaon-a`) ? 'a' : 'b';
    return kernel ?? '';
  };
  for (let update = 1; update <= 4; update += 1) {
    const fresh = `update ${update}`;
    const target: SlotName = node.booted === 'a' ? 'b' : 'a';
    const isArmed = await attempt(async () => {
      await loader.repair(node.booted, false);
      await loader.markGood(node.booted);
      await loader.markBad(target);
      const path = `kaon/${target}/uki-0-x.efi`;
      await partition.remove(path);
      await partition.writeNew(path, Buffer.from(image(String(random(9) + 1), fresh), 'latin1'));
      await partition.sync(`kaon/${target}`);
      const start = { role: 'uki', path } as const;
      await loader.stageEntry(target, { title: 'x', start, initrds: [], devicetree: undefined, options: '' });
      await loader.activate(target, 2);
    });
    // Before it was marked bad, the other slot's image of an earlier update was proven, too.
    let kernel = boot([proven, fresh]);
    if (isArmed) expect(kernel, `seed ${seed}`).toBe(fresh);
    if (kernel === fresh && random(3) > 0) {
      const isProven = await attempt(() => loader.markGood(node.booted));
      if (isProven) proven = fresh;
      kernel = boot([proven, fresh]);
      if (!isProven && kernel === fresh) {
        await loader.markGood(node.booted);
        proven = fresh;
      }
    }
    // Nobody proves it: in the end the proven image runs, however many boots that takes.
    for (let count = 0; count < 4; count += 1) kernel = boot([proven, fresh]);
    expect(kernel, `seed ${seed}, update ${update}: ${names().join(' ')}`).toBe(proven);
  }
}

describe('arming', () => {
  const [low, high] = [image('2.9'), image('2.10')];
  const leftOver = { 'kaon/b/staged.efi': low };

  it.each([
    ['a newer image', newer],
    ['an older image', older],
    ['a trial that ran out', { 'kaon-a.1+0.efi': high, 'kaon-a.2+0-1.efi': high, 'kaon-b+0-2.efi': low }],
    ['one whose staged image was not removed yet', { 'kaon-a.efi': high, 'kaon-b+2.efi': low, ...leftOver }],
    ['a slot that was proven', { 'kaon-a.1+0.efi': high, 'kaon-a.2+0.efi': high, 'kaon-b.efi': low }],
    ['a slot that stands behind', { 'kaon-a.efi': low, 'kaon-b.1+0.efi': high, 'kaon-b.2+0.efi': high }],
  ])('takes no more room than three images: %s', async (_name, images) => {
    let most = 0;
    const { loader, partition } = nodeWith(images, {}, () => {
      most = Math.max(most, partition.fileCount);
    });
    await loader.activate('b', 2);
    expect(most).toBeLessThanOrEqual(3);
    expect(boots(partition, 2)).toEqual(['kaon-b', 'kaon-b']);
  });

  it('never loses the image that it arms, whenever power is lost', async () => {
    for (const images of [newer, older, { 'kaon-a.efi': high, 'kaon-b+0-2.efi': low }, { ...older, ...leftOver }]) {
      const makeNode = (beforeStep: () => void) => nodeWith(images, {}, beforeStep);
      const played = eachPowerLoss({ fateCount: 16, makeNode, act: ({ loader }) => loader.activate('b', 2) });
      for await (const { node, where } of played) {
        await node.loader.repair('a', false);
        await node.loader.activate('b', 2);
        expect(boots(node.partition, 3), where).toEqual(['kaon-b', 'kaon-b', expect.stringMatching(/^kaon-a/)]);
        expect(node.partition.paths, where).not.toContain('kaon/b/staged.efi');
      }
    }
  });
});

describe('staging', () => {
  const start = { role: 'uki', path: 'kaon/b/uki-0-abc.efi' } as const;
  const entry = { title: 'x', start, initrds: [], devicetree: undefined, options: '' };
  const fresh = { 'kaon-a.efi': image('1'), 'kaon/b/uki-0-abc.efi': image('2') };

  it('puts the image where activation takes it from, which the loader does not list', async () => {
    const { loader, partition, names } = nodeWith(fresh);
    await loader.stageEntry('b', entry);
    expect(names()).toEqual(['kaon-a.efi']);
    expect(partition.paths).toContain('kaon/b/staged.efi');
    await loader.activate('b', 3);
    expect(bootSystemdBoot(partition)).toBe('kaon-b');
  });

  it.each([
    [{ options: 'ro' }, 'has the options inside its image'],
    [{ initrds: ['kaon/b/initrd'] }, 'nothing but a unified kernel image'],
    [{ start: { role: 'kernel', path: start.path } as const }, 'nothing but a unified kernel image'],
  ])('refuses %j, which the loader would not obey', async (change, reason) => {
    const { loader, partition } = nodeWith(fresh);
    const refused = loader.stageEntry('b', { ...entry, ...change });
    await expect(refused).rejects.toMatchObject({ code: 'bootloader-unsupported' });
    await expect(refused).rejects.toThrow(reason);
    expect(partition.paths).not.toContain('kaon/b/staged.efi');
  });

  it.each([
    ['a kernel', 'MZ no image', 'boot-env-corrupt'],
    [
      'several profiles',
      sampleUki({ '.osrel': 'ID=x\n', '.profile': 'ID=y\n' }).toString('latin1'),
      'bootloader-unsupported',
    ],
  ])('refuses an image that is %s, or has them', async (_what, text, code) => {
    const { loader } = nodeWith({ ...fresh, 'kaon/b/uki-0-abc.efi': text });
    await expect(loader.stageEntry('b', entry)).rejects.toMatchObject({ code });
  });

  it('refuses a slot that is not bad', async () => {
    const { loader } = nodeWith({ ...fresh, 'kaon-b.efi': image('3') });
    await expect(loader.stageEntry('b', entry)).rejects.toMatchObject({ code: 'bootloader-unsupported' });
  });
});

describe('what chooses before the order', () => {
  it.each([
    ['default kaon-a.efi', 'line 2'],
    ['default kaon-?.efi', 'make it "default kaon-*"'],
    ['preferred kaon-b*', 'line 2'],
  ])('is refused in loader.conf, and told: %j', async (line, reason) => {
    const { loader, names } = nodeWith({ ...newer, 'loader/loader.conf': `timeout 0\n${line}\n` });
    const before = names();
    const refused = loader.activate('b', 3);
    await expect(refused).rejects.toMatchObject({ code: 'bootloader-unsupported' });
    await expect(refused).rejects.toThrow(reason);
    expect(names()).toEqual(before);
    expect((await loader.readStatus()).notes?.join()).toContain('line 2');
  });

  it('is let be where it takes all of our names', async () => {
    const { loader } = nodeWith({ ...older, 'loader/loader.conf': 'default kaon-*\n' });
    await loader.activate('b', 3);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', notes: undefined });
  });

  it('is cleared where it is a variable that beats the counter', async () => {
    const variables = new MemoryVariables({ LoaderEntryDefault: 'kaon-a.efi', LoaderEntryPreferred: 'kaon-*' });
    const { loader } = nodeWith(newer, { variables });
    await loader.activate('b', 3);
    expect(variables.values).toEqual({ LoaderEntryPreferred: 'kaon-*' });
  });

  it('can be an entry of another, of either type', async () => {
    const conf = { 'loader/entries/first.conf': 'sort-key aaa\nlinux /vmlinuz\n', vmlinuz: 'k' };
    const uki = { 'first.efi': image('9').replace('ID=edge', 'ID=aaaa') };
    for (const foreign of [uki, { ...conf, '/vmlinuz': 'k' }]) {
      const { loader, partition } = nodeWith({ ...newer, ...foreign });
      partition.put('vmlinuz', 'k');
      await expect(loader.activate('b', 3)).rejects.toThrow(/first\.(efi|conf) stands before it/);
    }
  });
});

describe('repair', () => {
  it.each([
    [
      'two counted names',
      'b',
      { 'kaon-a.efi': image('1'), 'kaon-b+3.efi': image('2'), 'kaon-b+2-1.efi': image('2') },
      ['kaon-a.efi', 'kaon-b+2-1.efi'],
    ],
    [
      'a proven name beside the counted one of the slot that runs',
      'b',
      { 'kaon-a.efi': image('1'), 'kaon-b.efi': image('2'), 'kaon-b+2-1.efi': image('2') },
      ['kaon-a.efi', 'kaon-b.efi'],
    ],
    [
      'a proven name beside the counted one of the other slot',
      'a',
      { 'kaon-a.efi': image('1'), 'kaon-b.efi': image('2'), 'kaon-b+2-1.efi': image('2') },
      ['kaon-a.efi', 'kaon-b+2-1.efi'],
    ],
    [
      'a copy beside the proven name',
      'a',
      { 'kaon-a.efi': image('2'), 'kaon-a.1+0.efi': image('2'), 'kaon-b+3.efi': image('1') },
      ['kaon-a.efi', 'kaon-b+3.efi'],
    ],
    ['copies behind nothing', 'a', { 'kaon-a.1+0.efi': image('2'), 'kaon-a.2+0-4.efi': image('2') }, ['kaon-a.efi']],
    ['the only copy of all', 'a', { 'kaon-a.1+0.efi': image('2') }, ['kaon-a.efi']],
    ['a torn name', 'a', { 'kaon-a.efi': image('2'), 'kaon-b+3.efi': 'MZ' }, ['kaon-a.efi', 'kaon-b+3.efi']],
    [
      'leftovers',
      'a',
      { 'kaon-a.efi': image('2'), 'kaon-b.efi.tmp': 'x', 'mine.efi.tmp': 'x' },
      ['kaon-a.efi', 'mine.efi.tmp'],
    ],
  ] as const)('of %s ends in order, after power was lost anywhere in it', async (_name, booted, images, wanted) => {
    const cuts = eachPowerLoss({
      fateCount: 16,
      makeNode: (beforeStep) => nodeWith(images, {}, beforeStep),
      act: ({ loader }) => loader.repair(booted, false),
    });
    for await (const { node, where } of cuts) {
      await node.loader.repair(booted, false);
      expect(node.names(), where).toEqual(wanted);
      expect((await node.loader.readStatus()).isUntidy).toBeUndefined();
    }
  });

  it('gives the booted slot its name from what was staged when nothing else is proven, whenever power is lost', async () => {
    const lost = { 'kaon/a/staged.efi': image('1'), 'kaon-b+2-1.efi': image('2') };
    const cuts = eachPowerLoss({
      fateCount: 32,
      makeNode: (beforeStep) => nodeWith(lost, {}, beforeStep),
      act: ({ loader }) => loader.repair('a', false),
    });
    for await (const { node, isDone, where: cut } of cuts) {
      const { loader, partition, names } = node;
      const where = `${cut}: ${names().join(' ')}`;
      await loader.repair('a', false);
      expect(names(), where).toContain('kaon-a.efi');
      expect(boots(partition, 3).at(-1), where).toBe('kaon-a');
      if (isDone) expect(names(), where).toEqual(['kaon-a.efi']);
    }
  });

  it('says what is missing when there is no image to boot', async () => {
    const { loader } = nodeWith({});
    await expect(loader.repair('a', false)).rejects.toMatchObject({
      code: 'boot-payload-missing',
      message: 'cannot boot slot a: there is no kaon/a/staged.efi that the loader would list',
    });
  });
});
