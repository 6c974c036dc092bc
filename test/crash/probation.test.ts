import { describe, expect, it } from 'vitest';
import type { UpdateRequest, UpdateState } from '../../agent/core/update-state.ts';
import { updateToNew as update } from './update-request.ts';
import { digestOfImage, makeImage } from './images.ts';
import { crashRules, live, type LifeEnd } from './life.ts';
import type { LoaderName } from './loader-twin.ts';
import { type CrashPlan, World } from './world.ts';

const next: UpdateRequest = { ...update, id: 'update-2', image: 'registry.acme.io/os/edge:next' };

type Behaviour = 'healthy' | 'fails-probation';

async function run(
  plan: CrashPlan,
  behaviour: Behaviour,
  onFailure: 'alarm' | 'roll-back',
  agent: 1 | 2 = 1,
): Promise<{ readonly world: World; readonly end: LifeEnd; readonly where: string }> {
  const world = new World(plan, [makeImage('new', behaviour, agent), makeImage('next', 'healthy')]);
  await world.provision();
  const rules = { ...crashRules, probation: { durationMs: 180_000, intervalMs: 60_000, onFailure } };
  const end = await live(world, update, undefined, rules);
  const where = `${JSON.stringify(plan)} ${behaviour} ${onFailure} v${agent}: ${end.boots.join(' ')}`;
  expect(end.violations, where).toEqual([]);
  expect(end.end, where).toBe('at-rest');
  return { world, end, where };
}

/** What a node comes to: it runs a proven slot that boots next, and a roll back explains itself. */
async function expectWell(
  { world, end, where }: Awaited<ReturnType<typeof run>>,
  behaviour: Behaviour,
  onFailure: 'alarm' | 'roll-back',
): Promise<void> {
  const status = await world.loader.adapter().readStatus();
  expect(status, where).toMatchObject({
    primary: end.booted,
    trial: undefined,
    slots: { [end.booted]: { state: 'good' } },
  });
  const result = lastOf(end.state)?.result;
  const name = world.imageIn(end.booted)?.name;
  if (name === 'new') {
    expect(result, where).toBe('committed');
    const isWatched = end.state?.phase === 'idle' && end.state.probation !== undefined;
    // No cut makes it forget what it watches: it fails in the end, by the rules.
    expect([behaviour, isWatched], where).toEqual(
      behaviour === 'healthy' ? ['healthy', false] : ['fails-probation', onFailure === 'alarm'],
    );
    if (behaviour === 'fails-probation') expect(onFailure, where).toBe('alarm');
    return;
  }
  expect(name, where).toBe('factory');
  expect(result, where).toBe('rolled-back');
  expect(await world.journal.rollback(update.id), where).toMatchObject({ updateId: update.id });
}

function lastOf(state: UpdateState | undefined) {
  return state?.phase === 'idle' ? state.last : undefined;
}

const loaders: readonly LoaderName[] = ['kaon', 'gpt', 'tryboot', 'efi', 'systemd-boot'];

describe('a probation', () => {
  it.each(loaders)('that nothing disturbs ends in the slot that was committed (%s)', async (loader) => {
    const { end } = await run({ loader, cuts: [], fates: 'lost' }, 'healthy', 'roll-back');
    expect(end.boots).toEqual(['a:factory', 'b:new']);
    expect(end.state).toEqual(expect.not.objectContaining({ probation: expect.anything() as unknown }));
  });

  it.each(loaders)('that fails leads back to the old slot, where the rules say so (%s)', async (loader) => {
    const ran = await run({ loader, cuts: [], fates: 'lost' }, 'fails-probation', 'roll-back');
    const { world, end } = ran;
    expect(end.boots).toEqual(['a:factory', 'b:new', 'a:factory']);
    await expectWell(ran, 'fails-probation', 'roll-back');
    expect((await world.facts.load()).data.knownBad).toMatchObject([
      { digest: digestOfImage(makeImage('new', 'fails-probation')) },
    ]);
    // The old slot is no fallback of the loader's: nothing is left to be done at the next start.
    const again = await live(world, undefined);
    expect(again).toMatchObject({
      end: 'at-rest',
      booted: 'a',
      violations: [],
      state: { last: { result: 'rolled-back', code: 'health-failed' } },
    });
  });

  it.each(loaders)('that fails alarms and stays, where the rules say so (%s)', async (loader) => {
    const ran = await run({ loader, cuts: [], fates: 'lost' }, 'fails-probation', 'alarm');
    const { end } = ran;
    expect(end.boots).toEqual(['a:factory', 'b:new']);
    expect(end.state).toMatchObject({ probation: { alarm: { message: expect.stringContaining('web') as string } } });
    await expectWell(ran, 'fails-probation', 'alarm');
  });
});

describe('power lost around a probation', () => {
  for (const loader of loaders) {
    it.each([
      ['healthy', 'roll-back'],
      ['fails-probation', 'roll-back'],
      ['fails-probation', 'alarm'],
    ] as const)(
      `leaves no node worse off, whenever it is (${loader}, %s, %s)`,
      { timeout: 120_000 },
      async (behaviour, onFailure) => {
        const clean = await run({ loader, cuts: [], fates: 'lost' }, behaviour, onFailure);
        for (let cut = 0; cut < clean.world.steps.length; cut += 1) {
          for (const fates of ['lost', { seed: cut }] as const) {
            const ran = await run({ loader, cuts: [cut], fates }, behaviour, onFailure);
            const { world, where } = ran;
            await expectWell(ran, behaviour, onFailure);
            const later = await live(world, next);
            expect([later.violations, world.imageIn(later.booted)?.name], where).toEqual([[], 'next']);
          }
        }
      },
    );
  }

  it('twice leaves none worse off either', { timeout: 120_000 }, async () => {
    const { length } = (await run({ loader: 'kaon', cuts: [], fates: 'lost' }, 'fails-probation', 'roll-back')).world
      .steps;
    for (let first = 0; first < length; first += 1) {
      for (let second = first + 1; second < length + 4; second += 3) {
        const plan = { loader: 'kaon', cuts: [first, second], fates: { seed: first * 1000 + second } } as const;
        await expectWell(await run(plan, 'fails-probation', 'roll-back'), 'fails-probation', 'roll-back');
      }
    }
  });

  it('leaves none worse off whose old slot has an older agent', { timeout: 180_000 }, async () => {
    const { length } = (await run({ loader: 'kaon', cuts: [], fates: 'lost' }, 'fails-probation', 'roll-back', 2)).world
      .steps;
    for (let cut = 0; cut < length; cut += 1) {
      const plan = { loader: 'kaon', cuts: [cut], fates: { seed: cut } } as const;
      await expectWell(await run(plan, 'fails-probation', 'roll-back', 2), 'fails-probation', 'roll-back');
    }
  });
});
