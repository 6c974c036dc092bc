import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { type Behaviour, makeImage } from './images.ts';
import { live } from './life.ts';
import { expectPromises } from './promises.ts';
import { updateToNew as update } from './update-request.ts';
import { type CrashPlan, World } from './world.ts';

/** The loaders whose kernels lie on a FAT partition of their own, where a name can be lost. */
const loaders = ['systemd-boot', 'systemd-boot-uki'] as const;
type Loader = (typeof loaders)[number];

/** Images in an order in which the versions in them go up and down. */
const names = ['new', 'next', 'older'] as const;
const behaviours: readonly Behaviour[] = ['healthy', 'fails-health', 'dies-early', 'no-agent'];

describe.each(loaders)('power lost twice on a node with %s', (loader) => {
  it.each(['healthy', 'fails-then-no-agent'] as const)(
    'at pairs of durable steps keeps every promise (%s)',
    { timeout: 120_000 },
    async (behaviour) => {
      const { length } = (await liveOnce({ loader, cuts: [], fates: 'lost' }, behaviour)).steps;
      for (let first = 0; first < length; first += 1) {
        for (let second = first + 1 + (first % 6); second < length + 4; second += 6) {
          await liveOnce({ loader, cuts: [first, second], fates: { seed: first * 1000 + second } }, behaviour);
        }
      }
    },
  );
});

async function liveOnce(plan: CrashPlan, behaviour: Behaviour): Promise<World> {
  const world = new World(plan, [makeImage('new', behaviour)]);
  await world.provision();
  const end = await live(world, update);
  const where = `${JSON.stringify(plan)} ${behaviour}: ${end.boots.join(' ')}`;
  expect(end, where).toMatchObject({ end: 'at-rest', violations: [] });
  await expectPromises(world, end, update, behaviour, where);
  return world;
}

describe.each(loaders)('updates up and down in versions on a node with %s', (loader) => {
  it('commit what is healthy and leave what is not, wherever power is lost', { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= 200; seed += 1) await liveLong(loader, seed);
  });
});

/** Three updates on one node, each of one of the behaviours, with a few cuts somewhere in them. */
async function liveLong(loader: Loader, seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const images = names.map((name) => makeImage(name, behaviours[random.below(seed % 2 === 0 ? 1 : 4)] ?? 'healthy'));
  const cuts = Array.from({ length: 3 }, () => random.below(250));
  const plan: CrashPlan = { loader, cuts, fates: { seed } };
  const world = new World(plan, images);
  await world.provision();
  let proven = 'factory';
  for (const { name, behaviour } of images) {
    const request = { ...update, id: `update-${name}`, image: `registry.acme.io/os/edge:${name}` };
    const end = await live(world, request);
    const where = `${JSON.stringify(plan)} ${name} ${behaviour}: ${end.boots.join(' ')}`;
    expect(end, where).toMatchObject({ end: 'at-rest', violations: [] });
    if (behaviour === 'healthy') proven = name;
    expect(world.imageIn(end.booted)?.name, where).toBe(proven);
    expect(end.state, where).toMatchObject({
      last: { updateId: request.id, result: behaviour === 'healthy' ? 'committed' : 'rolled-back' },
    });
    const status = await world.loader.adapter().readStatus();
    expect(status, where).toMatchObject({ primary: end.booted, trial: undefined });
    expect(status.isUntidy, where).toBeUndefined();
  }
}
