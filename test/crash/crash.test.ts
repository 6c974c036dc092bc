import { afterAll, describe, expect, it } from 'vitest';
import { updateToNew as update } from './update-request.ts';
import { type Behaviour, makeImage } from './images.ts';
import { live, type LifeEnd } from './life.ts';
import { expectPromises } from './promises.ts';
import { PausingOperator } from './pausing-operator.ts';
import { regressions } from './regressions.ts';
import { type CrashPlan, World } from './world.ts';

let runs = 0;
afterAll(() => {
  console.log(`crash suite: ${runs} runs`);
});

/** One whole life under `plan`: an update to an image of `behaviour`, then its invariants. */
async function run(
  plan: CrashPlan,
  behaviour: Behaviour,
  { agent = 1, isIndexed = false }: { readonly agent?: 1 | 2; readonly isIndexed?: boolean } = {},
): Promise<{ world: World; end: LifeEnd }> {
  runs += 1;
  const image = makeImage('new', behaviour, agent, isIndexed);
  const world = new World(plan, [image, makeImage('next', 'healthy')]);
  await world.provision();
  const end = await live(world, update);
  const where = `${JSON.stringify(plan)} ${behaviour} v${agent}: ${end.boots.join(' ')}`;
  expect(end.violations, where).toEqual([]);
  expect(end.end, where).toBe('at-rest');
  await expectPromises(world, end, update, behaviour, where);
  return { world, end };
}

async function stepsOf(loader: CrashPlan['loader'], behaviour: Behaviour): Promise<readonly string[]> {
  return (await run({ loader, cuts: [], fates: 'lost' }, behaviour)).world.steps;
}

const behaviours: readonly Behaviour[] = [
  'healthy',
  'fails-health',
  'hangs',
  'dies-early',
  'no-agent',
  'fails-then-no-agent',
];
const loaders = ['kaon', 'rauc', 'gpt', 'tryboot', 'efi', 'systemd-boot', 'systemd-boot-uki'] as const;
/** The loaders that give a healthy image another try after its power was cut. */
const tryingAgain: readonly CrashPlan['loader'][] = ['kaon', 'gpt', 'systemd-boot', 'systemd-boot-uki'];

describe('an update that nothing disturbs', () => {
  it.each(loaders)('commits a healthy image (%s)', async (loader) => {
    const { end } = await run({ loader, cuts: [], fates: 'lost' }, 'healthy');
    expect(end.boots).toEqual(['a:factory', 'b:new']);
    expect(end.state).toMatchObject({ phase: 'idle', last: { result: 'committed' } });
  });

  it.each([
    ['fails-health', 'health-failed'],
    ['hangs', 'boot-tries-exhausted'],
    ['dies-early', 'boot-tries-exhausted'],
    ['no-agent', 'boot-tries-exhausted'],
  ] as const)('rolls back an image that %s after its only try at a one-shot loader', async (behaviour, code) => {
    for (const loader of ['tryboot', 'efi'] as const) {
      const { end } = await run({ loader, cuts: [], fates: 'lost' }, behaviour);
      expect(end.boots).toEqual(['a:factory', 'b:new', 'a:factory']);
      expect(end.state).toMatchObject({ last: { result: 'rolled-back', code } });
    }
  });

  it.each([
    ['fails-health', 'health-failed', 1],
    ['hangs', 'boot-tries-exhausted', 4],
    ['dies-early', 'boot-tries-exhausted', 4],
    ['no-agent', 'boot-tries-exhausted', 4],
  ] as const)('rolls back an image that %s, by its reason', async (behaviour, code, tries) => {
    const { end } = await run({ loader: 'kaon', cuts: [], fates: 'lost' }, behaviour);
    expect(end.boots).toEqual(['a:factory', ...Array.from({ length: tries }, () => 'b:new'), 'a:factory']);
    expect(end.state).toMatchObject({ last: { result: 'rolled-back', code } });
  });

  it('keeps to the order of durable steps', async () => {
    const steps = await stepsOf('kaon', 'healthy');
    const of = (name: string, from = 0) => steps.findIndex((step, index) => index >= from && step.startsWith(name));
    const marks = [
      of('environment-write'),
      of('zero root 0+4096'),
      of('write root 4096'),
      of('write boot 0+4096'),
      of('record-save b'),
      of('journal-save', of('record-save b')),
      of('environment-write', of('record-save b')),
    ];
    expect(marks.every((at) => at >= 0)).toBe(true);
    expect(marks).toEqual([...marks].sort((one, other) => one - other));
    expect(of('environment-sync')).toBeLessThan(of('zero'));
    expect(of('write boot 0+4096')).toBeGreaterThan(steps.lastIndexOf('write root 8192+4096'));
  });
});

describe('power lost once', () => {
  for (const loader of loaders) {
    for (const behaviour of behaviours) {
      it(`before each durable step, sectors lost, written and torn (${loader}, ${behaviour})`, async () => {
        const { length } = await stepsOf(loader, behaviour);
        for (let cut = 0; cut < length; cut += 1) {
          for (const fates of ['lost', 'written', { seed: cut }, { seed: cut + 1000 }] as const) {
            const { end } = await run({ loader, cuts: [cut], fates }, behaviour);
            if (behaviour === 'healthy' && tryingAgain.includes(loader)) {
              expect(end.state, `cut ${cut}, ${JSON.stringify(fates)}`).toMatchObject({
                last: { result: 'committed' },
              });
            }
          }
        }
      });
    }
  }

  it.each(['systemd-boot', 'systemd-boot-uki'] as const)(
    'while the loader is armed, each name of its files lost or not: the update goes on (%s)',
    { timeout: 180_000 },
    async (loader) => {
      const steps = await stepsOf(loader, 'healthy');
      const [from, to] = [steps.indexOf('record-save b'), steps.lastIndexOf('journal-save')];
      for (let cut = from; cut < to; cut += 1) {
        for (let seed = 0; seed < 12; seed += 1) {
          const { end } = await run({ loader, cuts: [cut], fates: { seed } }, 'healthy');
          expect(end.state, `cut ${cut} before ${steps[cut] ?? ''}, seed ${seed}`).toMatchObject({
            last: { result: 'committed' },
          });
        }
      }
    },
  );

  it.each(behaviours)('with an agent of another version in the new slot (%s)', async (behaviour) => {
    const { length } = await stepsOf('kaon', behaviour);
    for (let cut = 0; cut < length; cut += 1) {
      await run({ loader: 'kaon', cuts: [cut], fates: { seed: cut } }, behaviour, { agent: 2 });
    }
  });
});

describe('power lost in an update to an image with a block index', () => {
  const runIndexed = (cuts: readonly number[], fates: CrashPlan['fates'], behaviour: Behaviour) =>
    run({ loader: 'kaon', cuts, fates }, behaviour, { isIndexed: true });

  it.each(['healthy', 'fails-health'] as const)('once, before each durable step (%s)', async (behaviour) => {
    const { steps } = (await runIndexed([], 'lost', behaviour)).world;
    expect(steps).toContain('checkpoint-save b');
    for (let cut = 0; cut < steps.length; cut += 1) {
      for (const fates of ['lost', 'written', { seed: cut }, { seed: cut + 1000 }] as const) {
        const { end } = await runIndexed([cut], fates, behaviour);
        const result = behaviour === 'healthy' ? 'committed' : 'rolled-back';
        expect(end.state, `cut ${cut}`).toMatchObject({ last: { result } });
      }
    }
  });

  it('twice in its write, which goes on from what is there', { timeout: 180_000 }, async () => {
    const { steps } = (await runIndexed([], 'lost', 'healthy')).world;
    const from = steps.indexOf('zero boot 0+4096');
    const to = steps.indexOf('record-save b');
    for (let first = from; first < to; first += 1) {
      for (let second = first + 1 + (first % 4); second < first + (to - from) + 20; second += 4) {
        const { end } = await runIndexed([first, second], { seed: first * 1000 + second }, 'healthy');
        expect(end.state, `cuts ${first}, ${second}`).toMatchObject({ last: { result: 'committed' } });
      }
    }
  });
});

describe('power lost around a pause', () => {
  async function runPaused(plan: CrashPlan, phase: 'preparing' | 'writing' | 'staged', behaviour: Behaviour) {
    runs += 1;
    const operator = new PausingOperator(phase);
    const world = new World(plan, [makeImage('new', behaviour)]);
    await world.provision();
    const end = await live(world, update, operator);
    const where = `${JSON.stringify(plan)} ${behaviour}, paused in ${phase}: ${end.boots.join(' ')}`;
    expect([...end.violations, ...operator.violations], where).toEqual([]);
    expect(end.end, where).toBe('at-rest');
    await expectPromises(world, end, update, behaviour, where);
    expect(operator.resumedCount, where).toBeGreaterThan(0);
    return world.steps;
  }

  for (const phase of ['preparing', 'writing', 'staged'] as const) {
    it.each(['healthy', 'fails-health'] as const)(
      `in ${phase}, before each durable step: it stays paused over boots, and goes on when it is resumed (%s)`,
      async (behaviour) => {
        const { length } = await runPaused({ loader: 'kaon', cuts: [], fates: 'lost' }, phase, behaviour);
        for (let cut = 0; cut < length; cut += 1) {
          for (const fates of ['lost', { seed: cut }] as const) {
            await runPaused({ loader: 'kaon', cuts: [cut], fates }, phase, behaviour);
          }
        }
      },
    );
  }
});

describe('a reboot that is not ours', () => {
  it('starts no trial at a one-shot loader, which is armed again for our own', async () => {
    const steps = await stepsOf('tryboot', 'healthy');
    const armed = steps.indexOf('autoboot-sync', steps.indexOf('autoboot-write'));
    for (const cut of [armed + 1, steps.indexOf('autoboot-write', armed)]) {
      const { end } = await run({ loader: 'tryboot', cuts: [cut], fates: 'written' }, 'healthy');
      expect(end.boots).toEqual(['a:factory', 'a:factory', 'b:new']);
      expect(end.state).toMatchObject({ last: { result: 'committed' } });
    }
  });
});

describe('power lost twice', () => {
  it.each(behaviours)('at each pair of durable steps (%s)', { timeout: 300_000 }, async (behaviour) => {
    const { length } = await stepsOf('kaon', behaviour);
    for (let first = 0; first < length; first += 1) {
      for (let second = first + 1; second < length + 4; second += 1) {
        const plan = { loader: 'kaon', cuts: [first, second], fates: { seed: first * 1000 + second } } as const;
        const { end } = await run(plan, behaviour);
        if (behaviour === 'healthy') {
          expect(end.state, JSON.stringify(plan)).toMatchObject({ last: { result: 'committed' } });
        }
      }
    }
  });
});

describe('power lost twice at a one-shot loader', () => {
  it.each([
    ['tryboot', 'healthy'],
    ['tryboot', 'dies-early'],
    ['efi', 'healthy'],
    ['efi', 'fails-then-no-agent'],
  ] as const)('at each pair of durable steps (%s, %s)', { timeout: 300_000 }, async (loader, behaviour) => {
    const { length } = await stepsOf(loader, behaviour);
    for (let first = 0; first < length; first += 1) {
      for (let second = first + 1; second < length + 4; second += 1) {
        await run({ loader, cuts: [first, second], fates: { seed: first * 1000 + second } }, behaviour);
      }
    }
  });
});

describe('power lost twice over a slot that was good', () => {
  it.each(['healthy', 'fails-health'] as const)(
    'never boots it half-written (%s)',
    { timeout: 300_000 },
    async (behaviour) => {
      const { length } = await stepsOf('rauc', behaviour);
      for (let first = 0; first < length; first += 1) {
        // The second cut comes before the agent of the next boot could renew its marker: the loader turns to the other slot.
        for (const second of [first + 1, first + 2, first + 3]) {
          for (const fates of ['lost', { seed: first * 10 + second }] as const) {
            await runOver({ loader: 'rauc', cuts: [first, second], fates }, behaviour);
          }
        }
      }
    },
  );

  async function runOver(plan: CrashPlan, behaviour: Behaviour): Promise<void> {
    runs += 1;
    const older = makeImage('older', 'healthy');
    const world = new World(plan, [makeImage('new', behaviour), older]);
    await world.provision(older);
    const end = await live(world, update);
    const where = `${JSON.stringify(plan)} ${behaviour}: ${end.boots.join(' ')}`;
    expect(end.violations, where).toEqual([]);
    expect(end.end, where).toBe('at-rest');
    if (world.imageIn(end.booted)?.name === 'new') expect(behaviour, where).toBe('healthy');
  }
});

describe('after a life with cuts', () => {
  it.each(behaviours)('the next good update works (%s)', async (behaviour) => {
    const { length } = await stepsOf('kaon', behaviour);
    for (let cut = 0; cut < length; cut += 3) {
      const { world } = await run({ loader: 'kaon', cuts: [cut], fates: { seed: cut } }, behaviour);
      const next = { ...update, id: 'update-2', image: 'registry.acme.io/os/edge:next' };
      const end = await live(world, next);
      expect(end.violations).toEqual([]);
      expect(world.imageIn(end.booted)?.name).toBe('next');
    }
  });
});

describe('an idle node', () => {
  it.each(loaders)('that is rebooted again and again stays in its slot (%s)', async (loader) => {
    const world = new World({ loader, cuts: [], fates: 'lost' }, []);
    await world.provision();
    for (let count = 0; count < 25; count += 1) {
      runs += 1;
      const end = await live(world, undefined);
      expect(end).toMatchObject({ end: 'at-rest', booted: 'a', violations: [], state: { phase: 'idle' } });
    }
  });

  it('whose power is cut before its agent renews its markers comes up all the same', async () => {
    const world = new World({ loader: 'kaon', cuts: [], fates: 'lost' }, []);
    await world.provision();
    for (let count = 0; count < 25; count += 1) {
      runs += 1;
      expect(world.boot()).toBe('a');
      world.powerOff();
    }
    expect(await live(world, undefined)).toMatchObject({ end: 'at-rest', booted: 'a', violations: [] });
  });
});

describe('what failed once', () => {
  it.each(regressions)('$name', async ({ plan, behaviour, agent }) => {
    await run(plan, behaviour, { agent });
  });
});
