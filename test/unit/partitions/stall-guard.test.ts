import { describe, expect, it } from 'vitest';
import type { BlockDevice } from '../../../partitions/block-device.ts';
import { StallGuardedDevice } from '../../../partitions/stall-guard.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { MemoryBlockDevice, MemoryDisk } from '../../fakes/memory-block-device.ts';

const limitMs = 120_000;

/** A device whose requests end when they are let go. */
function slowDevice() {
  const clock = new ManualClock();
  const held: (() => void)[] = [];
  const disk = new MemoryDisk({
    name: 'root',
    sizeBytes: 64 * 1024,
    beforeStep: () => new Promise<void>((resolve) => held.push(resolve)),
  });
  const inner = new MemoryBlockDevice(disk);
  const device: BlockDevice = new StallGuardedDevice('root', inner, clock, limitMs);
  const buffer = device.allocate(4096);
  return { clock, held, disk, device, buffer };
}

async function outcomeOf(action: Promise<unknown>): Promise<string> {
  return action.then(
    () => 'done',
    (error: unknown) => (error as { code: string }).code,
  );
}

describe('a device that is watched', () => {
  it('may take nearly the limit for each request', async () => {
    const { clock, held, device, buffer } = slowDevice();
    for (let turn = 0; turn < 5; turn += 1) {
      const writing = outcomeOf(device.write(buffer, turn * 4096));
      await clock.advance(limitMs - 1);
      held.shift()?.();
      expect(await writing).toBe('done');
    }
    await device.close();
  });

  it('has progress with each request that ends, however long others take', async () => {
    const { clock, held, device, buffer } = slowDevice();
    const old = outcomeOf(device.write(buffer, 0));
    for (let turn = 1; turn < 8; turn += 1) {
      const next = outcomeOf(device.write(buffer, turn * 4096));
      await clock.advance(limitMs / 2);
      held.pop()?.();
      expect(await next).toBe('done');
    }
    held.pop()?.();
    expect(await old).toBe('done');
    await device.close();
  });

  it('may rest for as long as nobody asks for anything', async () => {
    const { clock, held, device } = slowDevice();
    await clock.advance(limitMs * 10);
    const flushing = outcomeOf(device.flush());
    await clock.advance(limitMs / 2);
    held.pop()?.();
    expect(await flushing).toBe('done');
    await device.close();
  });

  it('is held for dead when none of its requests ends, which rejects all of them and all that come', async () => {
    const { clock, device, buffer } = slowDevice();
    const given = [outcomeOf(device.write(buffer, 0)), outcomeOf(device.flush())];
    await clock.advance(limitMs + limitMs / 8);
    expect(await Promise.all(given)).toEqual(['slot-write-stalled', 'slot-write-stalled']);
    expect(await outcomeOf(device.zero(0, 4096))).toBe('slot-write-stalled');
    expect(await outcomeOf(device.read(buffer, 0))).toBe('slot-write-stalled');
  });

  it('is given up when it is dead: closing does not wait, nothing goes on watching', async () => {
    const { clock, device, buffer } = slowDevice();
    const given = outcomeOf(device.write(buffer, 0));
    await clock.advance(limitMs * 2);
    await given;
    await device.close();
    expect(clock.sleeperCount).toBe(0);
  });

  it('tells failures of the device as they are', async () => {
    const disk = new MemoryDisk({
      name: 'root',
      sizeBytes: 8192,
      faults: [{ partition: 'root', operation: 'write', nth: 1, errno: 'EIO' }],
    });
    const device = new StallGuardedDevice('root', new MemoryBlockDevice(disk), new ManualClock(), limitMs);
    const failing = device.write(device.allocate(4096), 0);
    await expect(failing).rejects.toMatchObject({ code: 'slot-write-failed', details: { errno: 'EIO' } });
    await device.close();
  });
});
