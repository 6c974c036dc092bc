import { digestBlocks } from '../../partitions/block-index/block-digest.ts';
import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { FrameTask } from '../../partitions/frames/frame-tasks.ts';
import type { FrameWorkers, StartFrameWorkers } from '../../partitions/frames/frame-workers.ts';
import { threadFrameWorkers } from '../../partitions/frames/thread-frame-workers.ts';
import { inlineFrameWorkers } from '../fakes/inline-frame-workers.ts';
import { sampleBytes } from '../unit/partitions/samples.ts';

const program = new URL('../../partitions/frames/frame-worker.ts', import.meta.url);
const ways: readonly (readonly [string, StartFrameWorkers])[] = [
  ['in this thread', inlineFrameWorkers],
  ['in a thread', threadFrameWorkers(program, 1)],
  ['in three threads', threadFrameWorkers(program, 3)],
];

let running: FrameWorkers | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
const contents = [sampleBytes(50_000, 1), sampleBytes(12_345, 2), new Uint8Array(20_000)];
const frames = contents.map((content) => zlib.zstdCompressSync(content, { pledgedSrcSize: content.byteLength }));
const outputAt = 128 * 1024;

/** Puts the frames one after the other into fresh memory. */
function prepare(start: StartFrameWorkers) {
  const memory = new SharedArrayBuffer(256 * 1024);
  const bytes = new Uint8Array(memory);
  let at = 0;
  const placed = frames.map((frame, index) => {
    bytes.set(frame, at);
    const place = { inputAt: at, inputBytes: frame.byteLength, contentBytes: contents[index]!.byteLength };
    at += frame.byteLength;
    return place;
  });
  running = start(memory);
  const digests = Buffer.concat(contents.map(sha256));
  return { workers: running, bytes, placed, digests };
}

const hashOf = (name: string, at: number, sizeBytes: number, isLast = false): FrameTask => ({
  kind: 'hash',
  name,
  algorithm: 'sha256',
  span: { at, sizeBytes },
  isLast,
});

describe.each(ways)('frame workers %s', (_name, start) => {
  it('decode frames one after the other into the shared memory', async () => {
    const { workers, bytes, placed, digests } = prepare(start);
    expect(await workers.run({ kind: 'decode', frames: placed, outputAt, digests })).toEqual({ isZero: false });
    const want = Buffer.concat(contents);
    expect(want.equals(bytes.slice(outputAt, outputAt + want.byteLength))).toBe(true);
  });

  it('give the digests of blocks', async () => {
    const { workers, bytes } = prepare(start);
    const span = { at: outputAt, sizeBytes: 3 * 4096 };
    bytes.fill(0, outputAt, outputAt + span.sizeBytes);
    bytes.fill(7, outputAt + 4096, outputAt + 5000);
    const { blockDigests } = await workers.run({ kind: 'digest-blocks', span });
    expect(Buffer.from(blockDigests ?? [])).toEqual(
      Buffer.from(digestBlocks(bytes.slice(outputAt, outputAt + span.sizeBytes))),
    );
  });

  it('tell content that is nothing but zeros', async () => {
    const { workers, placed } = prepare(start);
    expect(await workers.run({ kind: 'decode', frames: placed.slice(2), outputAt })).toEqual({ isZero: true });
  });

  it('tell the first frame that does not have its digest', async () => {
    const { workers, placed, digests } = prepare(start);
    digests[32] = (digests[32] ?? 0) ^ 1;
    const task: FrameTask = { kind: 'decode', frames: placed, outputAt, digests };
    expect(await workers.run(task)).toEqual({ mismatch: 1 });
  });

  it('reject frames that do not decode, and go on', async () => {
    const { workers, bytes, placed } = prepare(start);
    const [first, second] = [placed[0]!, placed[1]!];
    for (const wrong of [
      { ...first, inputBytes: first.inputBytes - 30 },
      { ...first, contentBytes: first.contentBytes - 1 },
      { ...first, contentBytes: first.contentBytes + 1 },
      { ...first, inputAt: first.inputAt + 1 },
    ]) {
      const decoding = workers.run({ kind: 'decode', frames: [wrong], outputAt });
      await expect(decoding).rejects.toMatchObject({ name: 'PartitionError', code: 'layer-corrupt' });
    }
    await workers.run({ kind: 'decode', frames: [second], outputAt });
    expect(Buffer.from(contents[1]!).equals(bytes.slice(outputAt, outputAt + 12_345))).toBe(true);
  });

  it('compare parts with their digests, and parts without one with zeros', async () => {
    const { workers, bytes } = prepare(start);
    bytes.set(contents[0]!, outputAt);
    const parts = [
      { at: outputAt, sizeBytes: 50_000 },
      { at: outputAt + 50_000, sizeBytes: 20_000 },
    ];
    const digests = Buffer.concat([sha256(contents[0]!), Buffer.alloc(32)]);
    expect(await workers.run({ kind: 'check', parts, digests })).toEqual({});
    bytes[outputAt + 69_999] = 1;
    expect(await workers.run({ kind: 'check', parts, digests })).toEqual({ mismatch: 1 });
    bytes[outputAt] = (bytes[outputAt] ?? 0) ^ 1;
    expect(await workers.run({ kind: 'check', parts, digests })).toEqual({ mismatch: 0 });
  });

  it('compute digests piece by piece, several beside each other', async () => {
    const { workers, bytes } = prepare(start);
    bytes.set(contents[0]!, outputAt);
    const tasks = [
      hashOf('one', outputAt, 20_000),
      hashOf('other', outputAt, 7),
      hashOf('one', outputAt + 20_000, 30_000),
      hashOf('one', 0, 0, true),
      hashOf('other', 0, 0, true),
      hashOf('one', 0, 0, true),
    ];
    const answers = await Promise.all(tasks.map((task) => workers.run(task, 0)));
    const hex = (content: Uint8Array) => sha256(content).toString('hex');
    expect(answers.slice(3)).toEqual([
      { hex: hex(contents[0]!) },
      { hex: hex(contents[0]!.subarray(0, 7)) },
      { hex: hex(new Uint8Array(0)) },
    ]);
  });

  it('reject what comes after they were closed', async () => {
    const { workers } = prepare(start);
    await workers.close();
    await expect(workers.run(hashOf('one', 0, 1))).rejects.toMatchObject({ code: 'slot-worker-lost' });
  });
});

describe('frame workers in threads', () => {
  it('reject all that they had when one of them ends, and all that comes', async () => {
    const dying = `data:text/javascript,${encodeURIComponent(
      "import { parentPort } from 'node:worker_threads'; parentPort.once('message', () => process.exit(3));",
    )}`;
    const { workers } = prepare(threadFrameWorkers(new URL(dying), 2));
    const given = [0, 1].map((lane) => workers.run(hashOf('one', 0, 1), lane));
    for (const one of given) await expect(one).rejects.toMatchObject({ code: 'slot-worker-lost' });
    await expect(workers.run(hashOf('one', 0, 1))).rejects.toMatchObject({ code: 'slot-worker-lost' });
  });
});
