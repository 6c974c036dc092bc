import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diskMiB, offsetOf } from '../../vm/disk.ts';
import type { VmImage } from '../../vm/images.ts';
import type { LoaderState } from '../../vm/loader.ts';
import { Replay } from '../../vm/lost-flushes.ts';
import type { Stage } from '../../vm/stage.ts';

const sectorBytes = 512;
const image = Buffer.alloc(8192, 7);

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-replay-'));
});

afterEach(() => rm(folder, { recursive: true }));

interface Entry {
  readonly at: number;
  readonly bytes: Buffer;
}

/** A log as QEMU writes it; `flush` stands for one. */
function logOf(...entries: readonly (Entry | 'flush')[]): Buffer {
  const sector = (...numbers: readonly number[]) => {
    const bytes = Buffer.alloc(sectorBytes);
    numbers.forEach((number, index) => bytes.writeBigUInt64LE(BigInt(number), index * 8));
    return bytes;
  };
  const head = sector(0, 1, entries.length, sectorBytes);
  head.writeBigUInt64LE(0x006a736677736872n, 0);
  const parts = entries.map((entry) =>
    entry === 'flush'
      ? sector(0, 0, 1, 0)
      : Buffer.concat([sector(entry.at / sectorBytes, entry.bytes.byteLength / sectorBytes, 0, 0), entry.bytes]),
  );
  return Buffer.concat([head, ...parts]);
}

/** A loader whose whole state is one byte of the ESP: 1 lets it boot slot b. */
async function readState(disk: string): Promise<LoaderState> {
  const file = await open(disk, 'r');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offsetOf('esp'));
  await file.close();
  const isArmed = buffer[0] === 1;
  return { trial: isArmed ? 'b' : undefined, canBoot: { a: true, b: isArmed }, text: isArmed ? 'armed' : 'not armed' };
}

async function play(...entries: readonly (Entry | 'flush')[]) {
  const paths = { disk: join(folder, 'disk'), log: join(folder, 'log'), image: join(folder, 'image') };
  await writeFile(paths.disk, '');
  await truncate(paths.disk, diskMiB * 1024 * 1024);
  await writeFile(paths.log, logOf(...entries));
  await writeFile(paths.image, image);
  await writeFile(join(folder, 'factory'), '');
  const stage = { machine: { loader: { readState } }, factoryFile: join(folder, 'factory') } as unknown as Stage;
  const replay = await Replay.open(stage, paths.disk, { file: paths.image } as VmImage, await readState(paths.disk));
  const moments = [];
  for await (const moment of replay.play([paths.log])) moments.push(moment);
  await replay.close();
  return { states: moments.map(({ state }) => state.text), failures: moments.flatMap(({ failures }) => failures) };
}

const armed = { at: offsetOf('esp'), bytes: Buffer.alloc(sectorBytes, 1) };
const written = { at: offsetOf('slot-b'), bytes: image };

describe('an upgrade that is played again', () => {
  it('holds where the slot was flushed before the loader was armed', async () => {
    const { states, failures } = await play(written, 'flush', armed, 'flush');
    expect(states).toEqual(['not armed', 'not armed', 'armed']);
    expect(failures).toEqual([]);
  });

  it('fails where both were in one flush, though the slot was written first', async () => {
    const { failures } = await play(written, armed, 'flush');
    expect(failures).toEqual([
      'boot 1, flush 1, what the loader reads: slot b is whole where the loader may boot it (armed)',
    ]);
  });

  it('fails where a part of the slot comes later than the loader is armed', async () => {
    const half = { at: written.at, bytes: image.subarray(0, 4096) };
    const rest = { at: written.at + 4096, bytes: image.subarray(4096) };
    const { failures } = await play(half, 'flush', armed, 'flush', rest, 'flush');
    expect(failures.map((text) => text.split(':')[0])).toEqual(['boot 1, flush 2, what the loader reads']);
  });

  it('fails where a slot that may boot is written to', async () => {
    const spoilt = { at: offsetOf('slot-a'), bytes: Buffer.alloc(sectorBytes, 9) };
    const { failures } = await play(spoilt, 'flush');
    expect(failures).toEqual(['boot 1, flush 1: slot a is whole where the loader may boot it (not armed)']);
  });
});
