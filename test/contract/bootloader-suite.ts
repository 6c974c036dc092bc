import { describe, expect, it } from 'vitest';
import type { LoaderCanary } from '../../bootloader/canary.ts';
import type { Bootloader, SlotName } from '../../bootloader/bootloader.ts';
import type { SectorFate } from '../fakes/power-loss-file.ts';

/** A loader's adapter over simulated storage, and the loader itself in simulation. Slot a is proven, slot b is bad. */
export interface ContractNode {
  readonly loader: Bootloader;
  /** One boot by the loader's own rules. */
  readonly boot: () => Promise<SlotName | 'rescue'>;
  /** The power goes: each sector (or directory entry) that was written and not synced meets its fate. */
  readonly losePower: (fate: () => SectorFate) => void;
  /** The next boot is a reboot that carries `argument`. */
  readonly carry?: (argument: string | undefined) => void;
}

/** What loaders honestly differ in. */
export interface LoaderTraits {
  /** Tries that the suite arms with. */
  readonly tries: number;
  /** Whether each boot of a proven slot consumes a marker that has to be renewed. */
  readonly countsProven: boolean;
  /** The loader's own script gives a used-up trial its boots back when nothing else is left, as RAUC's does. */
  readonly revivesTrials?: true;
  /** Whether the adapter writes through steps that can be cut. */
  readonly hasSteps: boolean;
  /** How it shows between trials that it writes back; `unseen`: it has a mark, which this firmware leaves alone. */
  readonly canary?: 'changed' | 'unseen' | undefined;
}

/** Thrown by `beforeStep` where the power goes. */
class PowerCut extends Error {}

/** Makes a node; `beforeStep` is called before each write, rename and sync, and may throw. */
export type MakeNode = (beforeStep: (name: string) => void) => Promise<ContractNode>;

const nothing = () => undefined;

/** The contract of `Bootloader`, held against one adapter and its simulated twin. */
export function describeBootloader(name: string, makeNode: MakeNode, traits: LoaderTraits): void {
  describe(name, () => {
    describeBoots(makeNode, traits);
    describeVerbs(makeNode, traits);
    if (traits.hasSteps) describePowerLoss(makeNode, traits);
    if (traits.canary !== undefined) describeCanary(makeNode, traits);
  });
}

/** The mark that a loader changes at the next boot, which must never change what boots. */
function canaryOf({ loader }: ContractNode): LoaderCanary {
  const { canary } = loader;
  if (canary === undefined) throw new Error('the loader has no canary');
  return canary;
}

function describeCanary(makeNode: MakeNode, { tries, canary: trait, hasSteps }: LoaderTraits): void {
  it('shows by its canary, in the slot that runs and without a trial, that it writes back', async () => {
    const node = await makeNode(nothing);
    await node.boot();
    const before = await node.loader.readStatus();
    const canary = canaryOf(node);
    await canary.arm('a');
    expect(await node.loader.readStatus()).toEqual(before);
    node.carry?.(canary.rebootArgument);
    expect(await node.boot()).toBe('a');
    expect(await canary.read('a')).toBe(trait === 'changed' ? 'changed' : 'unchanged');
    await canary.clear('a');
    await canary.clear('a');
    expect(await node.loader.readStatus()).toEqual(before);
    for (let count = 0; count < 5; count += 1) expect(await node.boot()).toBe('a');
    expect(await node.loader.readStatus()).toEqual(before);
  });

  it('has a canary beside a good slot, too, which it does not start', async () => {
    const node = await makeNode(nothing);
    await node.loader.markGood('b');
    await node.loader.markGood('a');
    const canary = canaryOf(node);
    await canary.arm('a');
    node.carry?.(canary.rebootArgument);
    expect(await node.boot()).toBe('a');
    await canary.clear('a');
    expect(await node.loader.readStatus()).toMatchObject({
      primary: 'a',
      trial: undefined,
      slots: { a: { state: 'good' }, b: { state: 'good' } },
    });
  });

  it('shows nothing by a canary that no boot came to, and arms over it', async () => {
    const node = await makeNode(nothing);
    await node.boot();
    const canary = canaryOf(node);
    await canary.arm('a');
    expect(await canary.read('a')).toBe('unchanged');
    await canary.clear('a');
    await canary.arm('a');
    await node.loader.activate('b', tries);
    expect(await node.loader.readStatus()).toMatchObject({ primary: 'b', trial: 'b', trialTries: tries });
    for (let count = 0; count < tries; count += 1) expect(await node.boot()).toBe('b');
    expect(await node.boot()).toBe('a');
  });

  it('refuses a canary in a slot that is not good', async () => {
    await expect(canaryOf(await makeNode(nothing)).arm('b')).rejects.toMatchObject({ code: 'boot-fallback-missing' });
  });

  if (hasSteps) {
    it.each(['arm', 'clear'] as const)(
      'boots the proven slot whenever the power goes in %s of its canary',
      async (verb) => {
        for (let cutAt = 0, isCut = true; isCut; cutAt += 1) {
          for (const [fateName, fate] of fates) {
            const where = `cut before step ${cutAt}, unsynced sectors ${fateName}`;
            let step = Number.NEGATIVE_INFINITY;
            const node = await makeNode(() => {
              if (step++ === cutAt) throw new PowerCut();
            });
            const canary = canaryOf(node);
            if (verb === 'clear') await canary.arm('a');
            step = 0;
            isCut = await canary[verb]('a').then(
              () => false,
              () => true,
            );
            step = Number.NEGATIVE_INFINITY;
            let asked = 0;
            node.losePower(() => fate(asked++));
            for (let count = 0; count < 3; count += 1) expect(await node.boot(), where).toBe('a');
            expect(await node.loader.readStatus(), where).toMatchObject({ primary: 'a', trial: undefined });
            await node.loader.activate('b', tries);
            expect(await node.loader.readStatus(), where).toMatchObject({ primary: 'b', trialTries: tries });
          }
        }
      },
    );
  }
}

/** Boots the slot, and renews its marker where the loader consumes one. */
async function bootProven({ loader, boot }: ContractNode): Promise<void> {
  expect(await boot()).toBe('a');
  await loader.markGood('a');
}

function describeBoots(makeNode: MakeNode, { tries, countsProven }: LoaderTraits): void {
  it('boots the proven slot again and again while it is renewed', async () => {
    const { loader, boot } = await makeNode(nothing);
    for (let index = 0; index < 20; index += 1) {
      expect(await boot()).toBe('a');
      expect((await loader.readStatus()).slots.a.state).toBe(countsProven ? 'unrenewed' : 'good');
      await loader.markGood('a');
      expect(await loader.readStatus()).toMatchObject({
        primary: 'a',
        slots: { a: { state: 'good' }, b: { state: 'bad' } },
      });
    }
  });

  it('never boots a bad slot', async () => {
    const { loader, boot } = await makeNode(nothing);
    await loader.markBad('b');
    for (let index = 0; index < 20; index += 1) expect(await boot()).not.toBe('b');
  });

  it('tries an armed slot as often as it was told, and then falls back', async () => {
    const { loader, boot } = await makeNode(nothing);
    await loader.activate('b', tries);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: 'b',
      trialTries: tries,
      slots: { a: { state: 'good' }, b: { state: 'trial', triesLeft: tries } },
    });
    for (let index = 0; index < tries; index += 1) expect(await boot()).toBe('b');
    expect(await boot()).toBe('a');
    expect(await loader.readStatus()).toMatchObject({
      trial: 'b',
      slots: { a: { state: countsProven ? 'unrenewed' : 'good' }, b: { triesLeft: 0 } },
    });
  });

  it('keeps a slot that was marked good in its trial', async () => {
    const { loader, boot } = await makeNode(nothing);
    await loader.activate('b', tries);
    expect(await boot()).toBe('b');
    await loader.markGood('b');
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: undefined,
      trialTries: 0,
      slots: { b: { state: 'good' } },
    });
    expect(await boot()).toBe('b');
  });

  it('goes back at once when a trial is marked bad', async () => {
    const { loader, boot } = await makeNode(nothing);
    await loader.activate('b', tries);
    expect(await boot()).toBe('b');
    await loader.markBad('b');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: undefined, slots: { b: { state: 'bad' } } });
    expect(await boot()).toBe('a');
  });

  it('goes back to a slot that was proven before, through a trial like any other', async () => {
    const { loader, boot } = await makeNode(nothing);
    await loader.activate('b', tries);
    expect(await boot()).toBe('b');
    await loader.markGood('b');
    await loader.activate('a', tries);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'a', slots: { b: { state: 'good' } } });
    for (let index = 0; index < tries; index += 1) expect(await boot()).toBe('a');
    expect(await boot()).toBe('b');
  });

  it('resets leftover counters when it arms', async () => {
    const { loader, boot } = await makeNode(nothing);
    await loader.activate('b', tries);
    await boot();
    await loader.markBad('b');
    await boot();
    await loader.markGood('a');
    await loader.activate('b', tries);
    expect((await loader.readStatus()).slots.b).toEqual({ state: 'trial', triesLeft: tries });
  });
}

function describeVerbs(makeNode: MakeNode, { tries, countsProven }: LoaderTraits): void {
  it('declares what its boots show', async () => {
    const { loader } = await makeNode(nothing);
    expect(loader.capabilities.countsProven).toBe(countsProven);
    expect(loader.capabilities.maxTries).toBeGreaterThanOrEqual(tries);
  });

  it('refuses what would leave nothing to boot, and changes nothing', async () => {
    const { loader } = await makeNode(nothing);
    const before = await loader.readStatus();
    await expect(loader.markBad('a')).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    await expect(loader.activate('a', tries)).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    expect(await loader.readStatus()).toEqual(before);
  });

  if (countsProven) {
    it('arms only beside a slot whose markers are renewed', async () => {
      const { loader, boot } = await makeNode(nothing);
      await boot();
      await expect(loader.activate('b', tries)).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    });
  }

  it.each([0, -1, 1.5, 10_000])('refuses %d tries', async (count) => {
    const { loader } = await makeNode(nothing);
    await expect(loader.activate('b', count)).rejects.toMatchObject({ code: 'bootloader-unsupported' });
  });

  it('does not mind any verb twice', async () => {
    const { loader } = await makeNode(nothing);
    for (const verb of [
      () => loader.markBad('b'),
      () => loader.activate('b', tries),
      () => loader.markGood('b'),
      () => loader.markGood('a'),
    ]) {
      await verb();
      const once = await loader.readStatus();
      await verb();
      expect(await loader.readStatus()).toEqual(once);
    }
  });

  it('repairs nothing that is sound', async () => {
    const { loader } = await makeNode(nothing);
    await loader.activate('b', tries);
    const before = await loader.readStatus();
    expect(await loader.repair('a', false)).toBe(false);
    expect(await loader.readStatus()).toEqual(before);
  });
}

/** How unsynced sectors fare, by the number of the sector that is asked about. */
const fates: readonly (readonly [string, (index: number) => SectorFate])[] = [
  ['lost', () => 'lost'],
  ['written', () => 'written'],
  ...Array.from({ length: 8 }, (_, seed) => {
    const fate = (index: number): SectorFate =>
      (((seed + 1) * 2_654_435_761) >>> ((index * 3) % 29)) & 1 ? 'written' : 'lost';
    return [`torn ${seed}`, fate] as const;
  }),
];

interface Verb {
  readonly name: string;
  /** What comes before it. */
  readonly prepare: (node: ContractNode, tries: number) => Promise<void>;
  readonly perform: (loader: Bootloader, tries: number) => Promise<void>;
  /** Slots that may run afterwards, boot after boot without anybody renewing anything. */
  readonly first: readonly SlotName[];
  /** Where the node must end when nobody proves anything. */
  readonly last: readonly SlotName[];
}

const verbs: readonly Verb[] = [
  {
    name: 'activate',
    prepare: bootProven,
    perform: (loader, tries) => loader.activate('b', tries),
    first: ['a', 'b'],
    last: ['a'],
  },
  {
    name: 'markGood of a trial',
    prepare: async ({ loader, boot }, tries) => {
      await loader.activate('b', tries);
      expect(await boot()).toBe('b');
    },
    perform: (loader) => loader.markGood('b'),
    first: ['a', 'b'],
    last: ['a', 'b'],
  },
  {
    name: 'markBad of a trial',
    prepare: async ({ loader, boot }, tries) => {
      await loader.activate('b', tries);
      expect(await boot()).toBe('b');
    },
    perform: (loader) => loader.markBad('b'),
    first: ['a', 'b'],
    last: ['a'],
  },
  {
    name: 'markBad of a slot that was proven once',
    prepare: async ({ loader, boot }, tries) => {
      await loader.activate('b', tries);
      expect(await boot()).toBe('b');
      await loader.markGood('b');
      await loader.activate('a', tries);
      expect(await boot()).toBe('a');
      await loader.markGood('a');
    },
    perform: (loader) => loader.markBad('b'),
    first: ['a'],
    last: ['a', 'b'],
  },
];

function describePowerLoss(makeNode: MakeNode, { tries, revivesTrials }: LoaderTraits): void {
  it.each(verbs)('power lost inside $name leaves what was before or what comes after', async (verb) => {
    let cuts = 0;
    for (let cutAt = 0, hasCut = true; hasCut; cutAt += 1) {
      hasCut = false;
      for (const [fateName, fate] of fates) {
        const where = `cut before step ${cutAt}, unsynced sectors ${fateName}`;
        let step = Number.NEGATIVE_INFINITY;
        const node = await makeNode(() => {
          if (step++ === cutAt) throw new PowerCut();
        });
        await verb.prepare(node, tries);
        step = 0;
        const isCut = await verb.perform(node.loader, tries).then(
          () => false,
          (error: unknown) => {
            if (error instanceof PowerCut) return true;
            throw error;
          },
        );
        step = Number.NEGATIVE_INFINITY;
        hasCut ||= isCut;
        cuts += isCut ? 1 : 0;
        let asked = 0;
        node.losePower(() => fate(asked++));
        const boots: (SlotName | 'rescue')[] = [];
        for (let count = 0; count < tries + 2; count += 1) boots.push(await node.boot());
        const running = boots.filter((slot) => slot !== 'rescue');
        expect(verb.first, `${where}: ${boots.join(' ')}`).toContain(running[0]);
        if (revivesTrials === undefined) expect(verb.last, `${where}: ${boots.join(' ')}`).toContain(running.at(-1));
      }
    }
    expect(cuts).toBeGreaterThan(0);
  });

  it.each(verbs)('$name, done again after the power was lost in it, comes to its end', async (verb) => {
    const untouched = await makeNode(nothing);
    await verb.prepare(untouched, tries);
    await verb.perform(untouched.loader, tries);
    const wanted = await untouched.loader.readStatus();
    for (let cutAt = 0, isCut = true; isCut; cutAt += 1) {
      let step = Number.NEGATIVE_INFINITY;
      const node = await makeNode(() => {
        if (step++ === cutAt) throw new PowerCut();
      });
      await verb.prepare(node, tries);
      step = 0;
      isCut = await verb.perform(node.loader, tries).then(
        () => false,
        () => true,
      );
      step = Number.NEGATIVE_INFINITY;
      node.losePower(() => 'lost');
      await node.loader.repair('a', false);
      await verb.perform(node.loader, tries);
      expect(await node.loader.readStatus(), `cut before step ${cutAt}`).toEqual(wanted);
    }
  });
}
