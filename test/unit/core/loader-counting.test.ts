import { describe, expect, it } from 'vitest';
import { hasLoaderCounted } from '../../../agent/core/loader-counting.ts';
import type { BootRecord, NodeBoot } from '../../../agent/core/ports.ts';

type State = NodeBoot['boot']['slots']['a'];

function nodeIn(state: State['state'], triesLeft: number, countsProven = true): NodeBoot {
  const slots = { a: { state, triesLeft }, b: { state: 'bad', triesLeft: 0 } } as const;
  const boot = { primary: 'a', trial: state === 'trial' ? 'a' : undefined, trialTries: 4, slots } as const;
  return { booted: 'a', boot, maxTries: 9, countsProven, partitionSizes: { a: {}, b: {} } };
}

const earlier: BootRecord = { bootId: 'earlier', slot: 'a', firstSeenAtMs: 1, isEndedCleanly: true };

describe('whether the loader counted this boot', () => {
  it('is seen by the marker that it took', () => {
    expect(hasLoaderCounted(nodeIn('unrenewed', 3), 'now', [], false)).toBe(true);
    expect(hasLoaderCounted(nodeIn('trial', 3), 'now', [earlier], false)).toBe(true);
  });

  it('is denied by a marker that is still there at a new boot', () => {
    expect(hasLoaderCounted(nodeIn('good', 4), 'now', [earlier], false)).toBe(false);
    expect(hasLoaderCounted(nodeIn('trial', 4), 'now', [earlier], false)).toBe(false);
  });

  it('is not known where nothing shows it', () => {
    expect(hasLoaderCounted(nodeIn('good', 4), 'now', [], false), 'the agent is new on a running node').toBeUndefined();
    expect(hasLoaderCounted(nodeIn('good', 4), 'now', [earlier], true), 'the environment is new').toBeUndefined();
    expect(hasLoaderCounted(nodeIn('good', 4, false), 'now', [earlier], false), 'only trials count').toBeUndefined();
    expect(hasLoaderCounted(nodeIn('bad', 0), 'now', [earlier], false)).toBeUndefined();
  });

  it('is remembered over restarts in the same boot, whose markers are renewed', () => {
    const counted = { ...earlier, bootId: 'now', hasLoaderCounted: true };
    expect(hasLoaderCounted(nodeIn('good', 4), 'now', [earlier, counted], false)).toBe(true);
    expect(hasLoaderCounted(nodeIn('good', 4), 'now', [{ ...earlier, bootId: 'now' }], false)).toBeUndefined();
  });
});
