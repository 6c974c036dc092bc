import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { SlotName } from '../../../bootloader/bootloader.ts';
import { GptBootloader } from '../../../bootloader/gpt.ts';
import { armedBits, goodBits, gptStatus, parseBits, type SlotBits, withBits } from '../../../bootloader/gpt-bits.ts';
import { bootGpt } from '../../fakes/gpt-firmware.ts';
import { PowerLossDisk } from '../../fakes/power-loss-disk.ts';

const guids = { a: 'AAAAAAAA-0001-4000-8000-00000000000A', b: 'bbbbbbbb-0005-4000-8000-00000000000b' };
const firmware = { blockBytes: 512, type: '5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6' } as const;
const last = 127;

function newDisk(beforeStep: (name: string) => void = () => undefined): PowerLossDisk {
  const path = join(import.meta.dirname, 'fixtures', 'gpt-512.img.gz');
  return new PowerLossDisk(gunzipSync(readFileSync(path)), 512, beforeStep);
}

/** Writes over a block, as a torn write does. */
function spoil(disk: PowerLossDisk, ...lbas: readonly number[]): void {
  const image = Buffer.from(disk.disk);
  for (const lba of lbas) image.fill(0xa5, lba * 512 + 100, lba * 512 + 110).fill(0xa5, lba * 512, lba * 512 + 8);
  disk.put(image);
}

const bits = (priority: number, tries: number, isSuccessful: boolean): SlotBits => ({ priority, tries, isSuccessful });
const proven = bits(1, 0, true);
const nothing = bits(0, 0, false);

function status(a: SlotBits, b: SlotBits, first: SlotName = 'a') {
  return gptStatus({ slots: { a, b }, first });
}

describe('the bits of a slot', () => {
  it('lie in bits 48 to 56 and leave all others alone', () => {
    expect(withBits(0n, bits(15, 0, false))).toBe(0x000f_0000_0000_0000n);
    expect(withBits(0n, bits(0, 15, false))).toBe(0x00f0_0000_0000_0000n);
    expect(withBits(0n, bits(0, 0, true))).toBe(0x0100_0000_0000_0000n);
    expect(withBits(0xffff_ffff_ffff_ffffn, nothing)).toBe(0xfe00_ffff_ffff_ffffn);
    expect(parseBits(0x8132_0000_0000_0004n)).toEqual(bits(2, 3, true));
  });

  it('choose the highest priority, and the first entry among equals', () => {
    expect(status(proven, bits(2, 0, true)).primary).toBe('b');
    expect(status(proven, proven).primary).toBe('a');
    expect(status(proven, proven, 'b').primary).toBe('b');
    expect(status(bits(1, 0, false), proven).primary).toBe('b');
    expect(status(bits(0, 15, true), nothing).primary).toBeUndefined();
  });

  it('mean a trial where other tools armed it', () => {
    // Bottlerocket's signpost, ChromeOS's updater, and a disk that was never booted.
    expect(status(proven, bits(2, 1, false))).toMatchObject({ primary: 'b', trial: 'b', trialTries: 1 });
    expect(status(proven, bits(2, 6, false))).toMatchObject({ primary: 'b', trial: 'b', trialTries: 6 });
    expect(status(bits(15, 15, false), nothing)).toMatchObject({ primary: 'a', trial: 'a', trialTries: 15 });
    expect(status(proven, bits(2, 0, false))).toMatchObject({
      primary: 'a',
      trial: 'b',
      slots: { b: { triesLeft: 0 } },
    });
  });

  it('mean no trial on a disk with one proven slot', () => {
    expect(status(proven, nothing)).toMatchObject({ primary: 'a', trial: undefined, trialTries: 0 });
    expect(status(bits(2, 0, true), bits(0, 15, true))).toMatchObject({
      trial: undefined,
      slots: { b: { state: 'bad' } },
    });
  });

  it.each(Array.from({ length: 15 }, (_, index) => index + 1))('keep in mind that a trial has %d tries', (tries) => {
    const { a, b } = armedBits('b', tries);
    for (let left = tries; left >= 0; left -= 1) {
      // gptprio takes tries from the fallback, too, each time that it boots.
      for (const fallbackTries of left === 0 ? [tries, tries - 1, 0] : [tries]) {
        expect(status({ ...a, tries: fallbackTries }, { ...b, tries: left })).toMatchObject({
          primary: left > 0 ? 'b' : 'a',
          trial: 'b',
          trialTries: tries,
          slots: { a: { state: 'good' }, b: { state: 'trial', triesLeft: left } },
        });
      }
    }
    // ChromeOS's firmware clears the priority with the last try.
    expect(status(a, nothing)).toMatchObject({
      primary: 'a',
      trial: 'b',
      trialTries: tries,
      slots: { a: { state: 'good' } },
    });
  });

  it.each([1, 2, 13, 14, 15])('keep a trial with %d tries when the other slot is marked good', (tries) => {
    const armed = { slots: armedBits('b', tries), first: 'a' } as const;
    const next = gptStatus({ slots: goodBits(armed, 'a'), first: 'a' });
    expect(next).toMatchObject({
      primary: 'a',
      trial: 'b',
      trialTries: tries,
      slots: { b: { state: 'trial', triesLeft: tries } },
    });
    const usedUp = { slots: { a: armed.slots.a, b: { ...armed.slots.b, tries: 0 } }, first: 'a' } as const;
    expect(gptStatus({ slots: goodBits(usedUp, 'a'), first: 'a' })).toMatchObject({
      primary: 'a',
      trial: 'b',
      trialTries: tries,
      slots: { b: { state: 'trial', triesLeft: 0 } },
    });
  });
});

describe('the loader that reads GPT attributes', () => {
  it('is read as sgdisk set it', async () => {
    expect(await new GptBootloader(newDisk(), guids).readStatus()).toEqual({
      primary: 'b',
      trial: 'b',
      trialTries: 3,
      slots: { a: { state: 'good', triesLeft: 15 }, b: { state: 'trial', triesLeft: 3 } },
    });
  });

  it('leaves every byte outside of both tables as it is, and foreign attributes', async () => {
    const disk = newDisk();
    const before = disk.disk;
    await new GptBootloader(disk, guids).markBad('b');
    const after = disk.disk;
    const changed = new Set(
      [...after.keys()].filter((index) => after[index] !== before[index]).map((index) => index >> 9),
    );
    // Headers in 1 and 127; the entries of a and b in the sectors behind and before them.
    expect([...changed]).toEqual([1, 2, 3, 125, 126, 127]);
    expect(after[1024 + 512 + 55]).toBe(0x80);
  });

  it('believes the primary table where both are valid and differ', async () => {
    const disk = newDisk();
    const old = disk.disk;
    const loader = new GptBootloader(disk, guids);
    await loader.markBad('b');
    const mixed = Buffer.from(disk.disk);
    mixed.set(old.subarray(125 * 512), 125 * 512);
    disk.put(mixed);
    expect((await loader.readStatus()).primary).toBe('a');
    expect(bootGpt({ ...firmware, rules: 'gptprio' }, disk.disk).started).toBe(guids.a);
  });

  it.each([
    ['the primary header', [1]],
    ['the primary entries', [2]],
    ['the backup header', [last]],
    ['the backup entries', [126]],
  ])('goes on with %s broken, and makes it whole at a repair', async (_name, lbas) => {
    const disk = newDisk();
    const whole = disk.disk;
    spoil(disk, ...lbas);
    const loader = new GptBootloader(disk, guids);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', trialTries: 3 });
    expect(await loader.repair('a', false)).toBe(false);
    expect(Buffer.from(disk.disk)).toEqual(Buffer.from(whole));
  });

  it.each([1, last])('loses neither table to power lost in a change when LBA %d was broken before', async (lba) => {
    for (let cutAt = 0; cutAt < 8; cutAt += 1) {
      for (let seed = 0; seed < 8; seed += 1) {
        let step = 0;
        const disk = newDisk(() => {
          if (step++ === cutAt) throw new Error('power cut');
        });
        spoil(disk, lba);
        await new GptBootloader(disk, guids).markBad('b').catch(() => undefined);
        disk.losePower((sector) => ((sector * 7 + seed) % 3 === 0 ? 'lost' : 'written'));
        const { started } = bootGpt({ ...firmware, rules: 'chromeos' }, disk.disk);
        expect([guids.a, guids.b.toUpperCase()], `cut ${cutAt}, seed ${seed}`).toContain(started);
      }
    }
  });

  it('loses neither table when it was killed in one change and power is lost in the next', async () => {
    for (let killAt = 0; killAt < 8; killAt += 1) {
      for (let cutAt = 0; cutAt < 8; cutAt += 1) {
        for (let seed = 0; seed < 4; seed += 1) {
          let step = 0;
          let stopAt = killAt;
          const disk = newDisk(() => {
            if (step++ === stopAt) throw new Error('stopped');
          });
          await new GptBootloader(disk, guids).markBad('b').catch(() => undefined);
          step = 0;
          stopAt = cutAt;
          await new GptBootloader(disk, guids).activate('b', 5).catch(() => undefined);
          disk.losePower((sector) => ((sector * 5 + seed) % 4 < 2 ? 'lost' : 'written'));
          const { started } = bootGpt({ ...firmware, rules: 'gptprio' }, disk.disk);
          expect(started, `killed ${killAt}, cut ${cutAt}, seed ${seed}`).not.toBe('rescue');
        }
      }
    }
  });

  it('refuses to guess when neither table is valid', async () => {
    const disk = newDisk();
    spoil(disk, 1, last);
    const loader = new GptBootloader(disk, guids);
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    await expect(loader.repair('a', false)).rejects.toMatchObject({ code: 'boot-env-corrupt' });
  });

  it.each([
    [false, { state: 'bad' }],
    [true, { state: 'good' }],
  ])('makes bits up only where nothing would boot (other slot good: %s)', async (isOtherGood, other) => {
    const disk = newDisk();
    const image = Buffer.from(disk.disk);
    disk.put(withoutBits(image));
    const loader = new GptBootloader(disk, guids);
    expect((await loader.readStatus()).primary).toBeUndefined();
    expect(await loader.repair('b', isOtherGood)).toBe(true);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: undefined,
      slots: { a: other, b: { state: 'good' } },
    });
    expect(await loader.repair('b', isOtherGood)).toBe(false);
  });

  it('finds the backup of a disk that grew where the primary table says', async () => {
    const disk = newDisk();
    const grown = Buffer.concat([disk.disk, Buffer.alloc(64 * 1024)]);
    const loader = new GptBootloader(new PowerLossDisk(grown, 512), guids);
    await loader.markBad('b');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a' });
  });

  it.each([
    ['no such partition', { ...guids, b: 'bbbbbbbb-0005-4000-8000-0000000000ff' }],
    ['partitions of two types', { ...guids, b: 'cccccccc-0002-4000-8000-00000000000c' }],
  ])('refuses a node with %s', async (_name, wrong) => {
    await expect(new GptBootloader(newDisk(), wrong).readStatus()).rejects.toMatchObject({
      code: 'bootloader-unsupported',
    });
  });

  it.each([
    ['no GUID', { a: 'x', b: guids.b }],
    ['one GUID twice', { a: guids.b.toUpperCase(), b: guids.b }],
  ])('refuses %s', (_name, wrong) => {
    expect(() => new GptBootloader(newDisk(), wrong)).toThrow(
      expect.objectContaining({ code: 'bootloader-unsupported' }),
    );
  });
});

/** The image with the bits of both slots clear in a valid primary table. */
function withoutBits(image: Buffer): Buffer {
  const crc = (bytes: Uint8Array) => {
    let register = 0xffffffff;
    for (const byte of bytes) {
      register ^= byte;
      for (let bit = 0; bit < 8; bit += 1) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
    }
    return (register ^ 0xffffffff) >>> 0;
  };
  image.fill(0, 1024 + 54, 1024 + 56).fill(0, 1024 + 512 + 54, 1024 + 512 + 56);
  image.writeUInt32LE(crc(image.subarray(1024, 2048)), 512 + 88);
  image.writeUInt32LE(0, 512 + 16);
  image.writeUInt32LE(crc(image.subarray(512, 512 + 92)), 512 + 16);
  return image;
}
