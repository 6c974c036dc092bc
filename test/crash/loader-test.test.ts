import { describe, expect, it } from 'vitest';
import type { SlotName } from '../../agent/core/update-state.ts';
import { updateToNew as update } from './update-request.ts';
import { FactsKeeper } from '../../agent/update/facts-keeper.ts';
import { beginLoaderTest, settleLoader } from '../../agent/update/loader-test.ts';
import { start } from '../../agent/update/start.ts';
import { makeImage } from './images.ts';
import { crashRules, live, slotService } from './life.ts';
import type { LoaderName } from './loader-twin.ts';
import { type CrashPlan, factory, PowerCut, World } from './world.ts';
import { noEvidence } from '../fakes/no-evidence.ts';

/** One boot of an agent whose operator asks for the test unless it was asked for; resolves to whether it is over. */
async function bootOnce(world: World, booted: SlotName, isWanted: boolean): Promise<boolean> {
  const slots = slotService(world, booted, (argument) => world.loader.reboot(argument));
  const facts = new FactsKeeper(world.facts);
  await facts.load();
  const bootId = `boot-${world.steps.length}`;
  const { clock, journal } = world;
  const evidence = noEvidence();
  const started = await start({ journal, slots, evidence, clock, rules: crashRules, bootId });
  const result = await settleLoader({ slots, facts, clock, bootId, loader: 'twin' }, started);
  // The power goes for the whole of the node, though the test reports what failed.
  if (world.isOff) throw new PowerCut('off');
  if (result !== undefined || !isWanted) return true;
  await beginLoaderTest({ slots, facts, clock, bootId });
  await slots.reboot('loader-test');
  return false;
}

/** The life of a node in which an operator tests the loader once, to its rest. */
async function liveThroughTest(plan: CrashPlan, hasOlder: boolean): Promise<World> {
  const world = new World(plan, [makeImage('new', 'healthy'), makeImage('older', 'healthy')]);
  await world.provision(hasOlder ? makeImage('older', 'healthy') : undefined);
  let hasAsked = false;
  for (let boots = 0; boots < 8; boots += 1) {
    const booted = world.boot();
    const where = `${JSON.stringify(plan)}, boot ${boots}`;
    expect(booted, where).toBe('a');
    expect(world.imageIn('a'), where).toBe(factory);
    try {
      if (await bootOnce(world, 'a', !hasAsked)) return world;
      hasAsked = true;
    } catch (error) {
      if (!(error instanceof PowerCut) && !world.isOff) throw error;
      hasAsked = true;
      world.powerOff();
    }
  }
  throw new Error('the test never ends');
}

const loaders: readonly LoaderName[] = ['kaon', 'gpt', 'tryboot', 'efi', 'systemd-boot'];

describe('a test of the loader', () => {
  it.each(loaders)('proves in one reboot that it counts (%s)', async (loader) => {
    const world = await liveThroughTest({ loader, cuts: [], fates: 'lost' }, false);
    const { data } = await world.facts.load();
    expect(data).toMatchObject({ loaderProof: { isProven: true, by: 'self-test' } });
    expect(data.loaderTest).toBeUndefined();
  });

  it.each(loaders)('never leaves the node worse, whenever the power goes (%s)', async (loader) => {
    // Of a slot that nobody wrote, the partition of systemd-boot has no kernel.
    for (const hasOlder of loader === 'systemd-boot' ? [false] : [false, true]) {
      const clean = await liveThroughTest({ loader, cuts: [], fates: 'lost' }, hasOlder);
      const before = clean.loader.adapter();
      const wanted = await before.readStatus();
      expect(wanted).toMatchObject({ primary: 'a', trial: undefined, slots: { a: { state: 'good' } } });
      for (let cut = 0; cut < clean.steps.length; cut += 1) {
        for (const fates of ['lost', 'written', { seed: cut }] as const) {
          const world = await liveThroughTest({ loader, cuts: [cut], fates }, hasOlder);
          const where = `${loader}, cut ${cut}, ${JSON.stringify(fates)}`;
          expect(await world.loader.adapter().readStatus(), where).toEqual(wanted);
          expect((await world.facts.load()).data.knownBad, where).toEqual([]);
          const end = await live(world, update);
          expect([end.violations, world.imageIn(end.booted)?.name], where).toEqual([[], 'new']);
        }
      }
    }
  });
});
