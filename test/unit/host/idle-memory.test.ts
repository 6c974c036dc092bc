import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { fullCollection, IdleMemory } from '../../../agent/host/idle-memory.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

let clock = new ManualClock();
let ended = new AbortController();
let collections = 0;

function idleMemory(): IdleMemory {
  return new IdleMemory(clock, () => (collections += 1), ended.signal);
}

beforeEach(() => {
  clock = new ManualClock();
  ended = new AbortController();
  collections = 0;
});

describe('the memory of an idle agent', () => {
  it('is collected eight times, a tenth of a second apart, once nothing happened for a minute', async () => {
    const memory = idleMemory();
    memory.report();
    await clock.advance(59_999);
    expect(collections).toBe(0);
    await clock.advance(1);
    expect(collections).toBe(1);
    await clock.advance(100);
    expect(collections).toBe(2);
    await clock.advance(60_000);
    expect(collections).toBe(8);
    expect(clock.sleeperCount).toBe(0);
  });

  it('is left alone while things happen, progress of a write among them', async () => {
    const memory = idleMemory();
    memory.report();
    for (let count = 0; count < 10; count += 1) {
      await clock.advance(50_000);
      memory.progress();
    }
    expect(collections).toBe(0);
    await clock.advance(60_000);
    expect(collections).toBe(1);
    memory.report();
    await clock.advance(59_000);
    expect(collections).toBe(1);
  });

  it('is collected again after each thing that happened', async () => {
    const memory = idleMemory();
    memory.report();
    await clock.advance(70_000);
    memory.report();
    await clock.advance(70_000);
    expect(collections).toBe(16);
  });

  it('is not waited for once the agent ends', async () => {
    idleMemory().report();
    expect(clock.sleeperCount).toBe(1);
    ended.abort(new Error('over'));
    await clock.advance(60_000);
    expect(collections).toBe(0);
  });

  it('takes what nothing refers to any more, without a flag of Node', async () => {
    const left = new WeakRef({ some: 'thing' });
    // Until the turn ends, it may not be collected.
    await nextTurn();
    fullCollection();
    expect(left.deref()).toBeUndefined();
    expect(globalThis.gc).toBeUndefined();
  });
});
