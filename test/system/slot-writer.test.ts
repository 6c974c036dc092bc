import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BlockIndexEncoder } from '../../partitions/block-index/encode-index.ts';
import { threadFrameWorkers } from '../../partitions/frames/thread-frame-workers.ts';
import { LinuxSlotDevices } from '../../partitions/linux-slot-devices.ts';
import type { WriteProgress } from '../../partitions/slot-writer.ts';
import { StreamingSlotWriter } from '../../partitions/streaming-slot-writer.ts';
import { TrustedDescriptor, type TrustedPartition } from '../../partitions/trusted-descriptor.ts';
import { zeroRangeByCommand } from '../../partitions/zero-range.ts';
import { cutRanges } from '../fakes/cut-ranges.ts';
import { writerParts } from '../fakes/writer-parts.ts';
import { codeOf, sampleBytes, sha256Of } from '../unit/partitions/samples.ts';

const mebibyte = 1024 * 1024;
const frameWorker = new URL('../../partitions/frames/frame-worker.ts', import.meta.url);
let folder = '';
let cleanUps: (() => void)[] = [];

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

async function loopOver(path: string, sizeBytes: number): Promise<string> {
  await (await open(path, 'w')).close();
  await truncate(path, sizeBytes);
  const device = run('losetup', '--find', '--show', '--direct-io=on', path);
  cleanUps.push(() => void run('losetup', '--detach', device));
  return device;
}

/** An image of `frameCount` frames of 1 MiB, all zeros but for those that `contentOf` gives. */
function image(frameCount: number, contentOf: (index: number) => Uint8Array | undefined) {
  const encoder = new BlockIndexEncoder(mebibyte);
  const zeros = new Uint8Array(mebibyte);
  const compress = (content: Uint8Array) => zlib.zstdCompressSync(content, { pledgedSrcSize: mebibyte });
  const zeroFrame = compress(zeros);
  const parts: Uint8Array[] = [];
  for (let index = 0; index < frameCount; index += 1) {
    const content = contentOf(index);
    const frame = content === undefined ? zeroFrame : compress(content);
    encoder.add(content ?? zeros, frame.byteLength);
    parts.push(frame);
  }
  const layer = Buffer.concat(parts);
  const made = encoder.finish();
  const index = Buffer.concat(made.parts);
  const signed: TrustedPartition = {
    name: 'root',
    encoding: 'zstd',
    layerDigest: sha256Of(layer),
    layerSizeBytes: layer.byteLength,
    // Each frame is proven by its own digest: this one is handed on, and hashing gigabytes of zeros shows nothing.
    contentDigest: `sha256:${'0'.repeat(64)}`,
    contentSizeBytes: frameCount * mebibyte,
    index: {
      layerDigest: sha256Of(index),
      layerSizeBytes: index.byteLength,
      headSizeBytes: made.headSizeBytes,
      headDigest: made.headDigest,
    },
  };
  return { signed, layer, index };
}

/** Writes `made` to slot b with worker threads and the kernel's zeroing, as kaon-slotd does. */
function write(made: ReturnType<typeof image>, a: string, b: string, onProgress?: (progress: WriteProgress) => void) {
  const block = (device: string) => ({ root: { device, kind: 'block', keep: false } as const });
  const devices = new LinuxSlotDevices({
    slots: { a: block(a), b: block(b) },
    booted: 'a',
    areFilesAllowed: false,
    zeroRange: zeroRangeByCommand,
  });
  const startWorkers = threadFrameWorkers(frameWorker, 1);
  return new StreamingSlotWriter({ ...writerParts, startWorkers, devices }).write(
    'b',
    TrustedDescriptor.mintAfterVerification({
      manifestDigest: `sha256:${'1'.repeat(64)}`,
      partitions: [made.signed],
    }),
    async function* (digest, ranges) {
      yield* cutRanges(digest === made.signed.layerDigest ? made.layer : made.index, ranges, 65_536);
    },
    onProgress ?? (() => undefined),
    new AbortController().signal,
  );
}

/** What this process had written to block devices, by the kernel's count. */
async function writtenBytes(): Promise<number> {
  const found = /^write_bytes: (\d+)$/m.exec(await readFile('/proc/self/io', 'utf8'));
  return Number(found?.[1]);
}

const openDescriptors = async () => (await readdir('/proc/self/fd')).length;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-writer-'));
});

afterEach(async () => {
  for (const cleanUp of cleanUps.reverse()) cleanUp();
  cleanUps = [];
  await rm(folder, { recursive: true });
});

describe('a slot on a block device', () => {
  it('takes an image of 16 GiB in flat memory, its zeros made by the kernel', { timeout: 600_000 }, async () => {
    const frameCount = 16 * 1024;
    const contents = new Map(
      [0, 1, 700, 9000, frameCount - 1].map((index) => [index, sampleBytes(mebibyte, index + 1)]),
    );
    const made = image(frameCount, (index) => contents.get(index));
    const a = await loopOver(join(folder, 'a'), mebibyte);
    const b = await loopOver(join(folder, 'b'), frameCount * mebibyte + 512);
    // Old content at places that must be zeros, and must be read as such.
    for (const at of [5, 4000, frameCount - 2]) {
      run('dd', 'if=/dev/urandom', `of=${b}`, 'bs=1M', 'count=1', `seek=${at}`, 'conv=notrunc,fsync');
    }
    const writtenBefore = await writtenBytes();
    let earlyBytes = 0;
    let mostBytes = 0;
    await write(made, a, b, ({ step }) => {
      if (step !== 'read-back') return;
      const { rss } = process.memoryUsage();
      earlyBytes ||= rss;
      mostBytes = Math.max(mostBytes, rss);
    });
    expect(mostBytes - earlyBytes).toBeLessThan(48 * mebibyte);
    const device = await open(b, 'r');
    const found = Buffer.alloc(mebibyte);
    for (const at of [0, 1, 5, 700, 4000, 9000, frameCount - 2, frameCount - 1]) {
      await device.read(found, 0, mebibyte, at * mebibyte);
      const want = contents.get(at) ?? new Uint8Array(mebibyte);
      expect({ at, isEqual: found.equals(want) }).toEqual({ at, isEqual: true });
    }
    await device.close();
    // Only what is no zeros went through this process.
    expect((await writtenBytes()) - writtenBefore).toBeLessThan(64 * mebibyte);
  });

  it('fails by one code when the room below it ends, leaks nothing, and takes the next write', async () => {
    const full = join(folder, 'full');
    await mkdir(full);
    run('mount', '-t', 'tmpfs', '-o', 'size=12M', 'tmpfs', full);
    cleanUps.push(() => void run('umount', full));
    const made = image(24, (index) => sampleBytes(mebibyte, index + 1));
    const a = await loopOver(join(folder, 'a'), mebibyte);
    const path = join(full, 'b');
    await (await open(path, 'w')).close();
    await truncate(path, 24 * mebibyte);
    const b = run('losetup', '--find', '--show', path);
    cleanUps.push(() => void run('losetup', '--detach', b));
    const before = await openDescriptors();
    expect(await codeOf(() => write(made, a, b))).toBe('slot-write-failed');
    expect(await openDescriptors()).toBe(before);
    run('mount', '-o', 'remount,size=64M', full);
    await write(made, a, b);
    expect(await openDescriptors()).toBe(before);
  });

  it('fails by one code when it is gone in the middle, and leaks nothing', async () => {
    const made = image(24, (index) => sampleBytes(mebibyte, index + 1));
    const a = await loopOver(join(folder, 'a'), mebibyte);
    const b = await loopOver(join(folder, 'b'), 24 * mebibyte);
    const before = await openDescriptors();
    let isGone = false;
    const failing = write(made, a, b, ({ writtenBytes }) => {
      if (isGone || writtenBytes < 8 * mebibyte) return;
      isGone = true;
      // What is below the device ends: its size is set anew while it is written.
      execFileSync('truncate', ['--size=0', join(folder, 'b')]);
      execFileSync('losetup', ['--set-capacity', b]);
    });
    expect(['slot-write-failed', 'slot-verify-failed']).toContain(await codeOf(() => failing));
    expect(await openDescriptors()).toBe(before);
  });
});
