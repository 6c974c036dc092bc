import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import zlib from 'node:zlib';
import { decodeFrameEntries } from '../../partitions/block-index/frame-entries.ts';
import { IndexHead } from '../../partitions/block-index/index-head.ts';
import { readFrames } from '../../partitions/block-index/read-index.ts';
import { FrameTable } from '../../partitions/frame-table.ts';
import { decodeSeekTable, encodeSeekTable, seekTableSizeBytes } from '../../partitions/frames/seek-table.ts';
import { ZstdBoundaries } from '../../partitions/frames/zstd-boundaries.ts';
import { parsePatchHead } from '../../partitions/patch/patch-head.ts';
import { cutRanges } from '../fakes/cut-ranges.ts';
import { indexedLayer } from '../fakes/indexed-layer.ts';
import { patternBytes } from '../fakes/sample-image.ts';
import { type FuzzTarget, promise } from './target.ts';

const golden = (name: string) => readFileSync(new URL(`../unit/partitions/fixtures/${name}`, import.meta.url));

const content = Buffer.concat([patternBytes(40_960), Buffer.alloc(16_384), patternBytes(9_000, 3)]);
const layer = indexedLayer('root', content, [8192]);
const { headSizeBytes } = layer.signed.index;
const headBytes = Uint8Array.from(layer.indexBytes.subarray(0, headSizeBytes));
const head = new IndexHead(headBytes);
const entriesBytes = head.group(0).entries.sizeBytes;
const entries = Uint8Array.from(layer.indexBytes.subarray(headSizeBytes, headSizeBytes + entriesBytes));

function readHead(bytes: Uint8Array): IndexHead {
  const read = new IndexHead(bytes);
  promise(read.headSizeBytes === bytes.byteLength && read.layerSizeBytes >= bytes.byteLength, 'a head is whole');
  let block = 0;
  for (let index = 0; index < Math.min(read.groupCount, 64); index += 1) {
    const group = read.group(index);
    promise(group.firstBlock === block && group.blockCount >= 1, 'groups follow one another');
    block += group.blockCount;
  }
  return read;
}

/** A head that holds the digest of these entries: what a publisher signed. */
function headFor(bytes: Uint8Array): IndexHead {
  const changed = Buffer.from(headBytes);
  changed.writeUInt16LE(bytes.byteLength & 0xffff, 64 + 8);
  createHash('sha256')
    .update(bytes)
    .digest()
    .copy(changed, 64 + 10 + 2 * head.segmentCount);
  return new IndexHead(changed);
}

async function tableOf(bytes: number): Promise<FrameTable> {
  const large = indexedLayer('root', patternBytes(bytes), [64 * 1024]);
  const of = new IndexHead(Uint8Array.from(large.indexBytes.subarray(0, large.signed.index.headSizeBytes)));
  return FrameTable.read(
    readFrames(of, async function* (ranges) {
      yield* cutRanges(large.indexBytes, ranges);
    }),
    of,
  );
}

const table = await tableOf(1_000_000);
const patchHead = golden('patch-head-v1.bin');
const frames = [content.subarray(0, 8192), content.subarray(8192, 20_000), Buffer.alloc(100)].map((part) =>
  zlib.zstdCompressSync(part),
);

/** What is inside layers. */
export const layerTargets: readonly FuzzTarget[] = [
  { name: 'block-index-head', seeds: [headBytes], parse: readHead },
  {
    name: 'block-index-entries',
    seeds: [entries],
    parse: (bytes) => {
      const found = decodeFrameEntries(headFor(bytes), 0, bytes);
      const sizes = found.map(({ contentSizeBytes }) => contentSizeBytes);
      promise(
        sizes.every((size) => size >= 1 && size <= 8192),
        'frames are within their size',
      );
    },
  },
  {
    name: 'patch-head',
    seeds: [patchHead],
    parse: (bytes) => {
      const layerBytes = patchHead.byteLength + 377;
      for (const { payload, runs, ranges } of parsePatchHead(bytes, layerBytes, table, 700 * 4096)) {
        promise(payload.offset + payload.sizeBytes <= layerBytes, 'a payload lies in its layer');
        promise(
          runs.every(({ firstFrame, frameCount }) => firstFrame + frameCount <= table.count),
          'frames are those of the image',
        );
        promise(
          ranges.every(({ firstBlock, blockCount }) => firstBlock + blockCount <= 700),
          'blocks lie on the booted device',
        );
      }
    },
  },
  {
    name: 'zstd-boundaries',
    seeds: [
      Buffer.concat([...frames, encodeSeekTable([{ compressedSizeBytes: 1, contentSizeBytes: 1 }])]),
      ...frames.map((frame) => Uint8Array.from(frame)),
    ],
    parse: (bytes) => {
      const boundaries = new ZstdBoundaries();
      let givenBytes = 0;
      for (let at = 0; at < bytes.byteLength; at += 1000) {
        for (const piece of boundaries.push(bytes.subarray(at, at + 1000))) {
          if (piece.kind === 'bytes') givenBytes += piece.bytes.byteLength;
        }
      }
      promise(givenBytes <= bytes.byteLength, 'no more comes out than went in');
      boundaries.end();
    },
  },
  {
    name: 'seek-table',
    seeds: [encodeSeekTable(Array.from({ length: 5 }, (_, at) => ({ compressedSizeBytes: at, contentSizeBytes: at })))],
    parse: (bytes) => {
      seekTableSizeBytes(bytes.subarray(-9));
      decodeSeekTable(bytes);
    },
  },
];
