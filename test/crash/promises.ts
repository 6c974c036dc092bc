import { expect } from 'vitest';
import type { UpdateRequest } from '../../agent/core/update-state.ts';
import { isKnownBadAfter } from '../../agent/core/recover.ts';
import { type Behaviour, digestOfImage, makeImage } from './images.ts';
import type { LifeEnd } from './life.ts';
import type { World } from './world.ts';

/** Checks the promises of the design after a life with `update` to an image of `behaviour`. */
export async function expectPromises(
  world: World,
  end: LifeEnd,
  update: UpdateRequest,
  behaviour: Behaviour,
  where: string,
): Promise<void> {
  const status = await world.loader.adapter().readStatus();
  const { state } = end;
  const last = state?.phase === 'idle' ? state.last : undefined;
  const running = world.imageIn(end.booted);
  // Status never lies: what runs is proven, primary, and no trial is left standing.
  expect(status, where).toMatchObject({
    primary: end.booted,
    trial: undefined,
    slots: { [end.booted]: { state: 'good' } },
  });
  if (last?.result === 'committed') {
    // A trial proves itself: only what passed its checks is ever committed, and it is what runs.
    expect(behaviour, where).toBe('healthy');
    expect(running?.name, where).toBe('new');
    const { deployments } = await world.journal.load();
    expect(deployments[end.booted], where).toMatchObject({
      digest: digestOfImage(running ?? makeImage('new', 'healthy')),
    });
    expect(deployments[end.booted]?.committedAtMs, where).toBeDefined();
    return;
  }
  expect(running?.name, where).toBe('factory');
  expect(status.slots[end.booted === 'a' ? 'b' : 'a'].state, where).toBe('bad');
  // A rollback explains itself, and its digest is not tried again.
  expect(last?.result, where).toBe('rolled-back');
  const record = await world.journal.rollback(update.id);
  expect(record, where).toMatchObject({ updateId: update.id, image: update.image });
  const { data } = await world.facts.load();
  const isKnownBad = data.knownBad.some(({ digest }) => digest === digestOfImage(makeImage('new', behaviour)));
  // A loader that lost what was staged for it says nothing of the image.
  expect(isKnownBad, where).toBe(record !== undefined && isKnownBadAfter(record.reason));
}
