import { afterAll, describe, expect, it } from 'vitest';
import { attacks } from './attacks.ts';
import type { Attack } from './attack.ts';
import { contentBytes, craft, offer } from './images.ts';
import { limits, Victim } from './victim.ts';

const outcomes: string[] = [];
const blockBytes = 4096;
const before = 0xa5;

afterAll(() => {
  console.log(`attack: code, where it was refused\n${outcomes.join('\n')}`);
});

const bytesOf = (victim: Victim, slot: 'a' | 'b') => Buffer.from(victim.devices.disk(slot, 'root').visibleBytes());

/** Blocks of slot b that are neither what they were, nor zeros, nor what was signed for their place. */
function foreignBlocks(victim: Victim, content: Uint8Array): readonly number[] {
  const found = bytesOf(victim, 'b');
  return Array.from({ length: found.byteLength / blockBytes }, (_, index) => index).filter((index) => {
    const at = index * blockBytes;
    const block = found.subarray(at, at + blockBytes);
    const isUniform = block.every((byte) => byte === block[0]) && (block[0] === 0 || block[0] === before);
    return !isUniform && Buffer.compare(block, content.subarray(at, at + blockBytes)) !== 0;
  });
}

async function expectUnchanged(victim: Victim): Promise<void> {
  expect(victim.steps).toEqual([]);
  expect(await victim.loader.readStatus()).toMatchObject({ primary: 'a', slots: { a: { state: 'good' } } });
}

async function expectFallback(victim: Victim, { content }: Attack): Promise<void> {
  const { primary, slots } = await victim.loader.readStatus();
  expect([primary, slots.a.state, slots.b.state]).toEqual(['a', 'good', 'bad']);
  expect(bytesOf(victim, 'a').every((byte) => byte === before)).toBe(true);
  const first = bytesOf(victim, 'b').subarray(0, blockBytes);
  // Either nothing was begun, or the first block is held back to the end.
  expect(first.every((byte) => byte === first[0])).toBe(true);
  if (content !== undefined) expect(foreignBlocks(victim, content)).toEqual([]);
}

/** The node is as well as before: it takes the next sound image. */
async function expectNextUpdate(victim: Victim): Promise<void> {
  victim.registry.faults.clear();
  const good = craft({ seed: 21, config: { rollbackIndex: 7 } }, 'next');
  expect(await victim.attempt(offer(victim, good))).toBeUndefined();
  expect(bytesOf(victim, 'b').subarray(0, contentBytes).equals(good.content)).toBe(true);
}

describe('a hostile registry gets nowhere with', () => {
  it.each(attacks)('$name: $code', async (attack) => {
    const victim = await Victim.start(attack.victim);
    try {
      const refusal = await victim.attempt(await attack.prepare(victim), () => attack.between?.(victim));
      const { code, place } = refusal ?? { code: 'none', place: 'nowhere' };
      outcomes.push(`${attack.name}: ${code}, ${place}`);
      expect({ code, place }).toEqual({ code: attack.code, place: attack.place });
      if (place === 'stream') await expectFallback(victim, attack);
      else if (place !== 'nowhere') await expectUnchanged(victim);
      attack.after?.(victim);
      expect(victim.registry.sentBytes).toBeLessThan(attack.mostBytes ?? 16 * 1024 * 1024);
      // Two attempts, each of them as long as nothing may come, and what passed before it was noticed.
      expect(victim.clock.monotonicMs()).toBeLessThan(4 * limits.stallTimeoutMs);
      await expectNextUpdate(victim);
    } finally {
      await victim.close();
    }
  });
});
