import zlib from 'node:zlib';
import { patternBytes, sha256 } from '../../fakes/sample-image.ts';
import type { Attack } from './attack.ts';
import { changeEntries, contentBytes, craft, type Draft, indexed, offer, resigned } from './images.ts';

const content = patternBytes(contentBytes, 1);
const whole = zlib.zstdCompressSync(content, { pledgedSrcSize: contentBytes });
const stated = { digest: sha256(content), sizeBytes: contentBytes };
const lessBytes = contentBytes - 4096;
const less = zlib.zstdCompressSync(content.subarray(0, lessBytes), { pledgedSrcSize: lessBytes });
const zeros = Buffer.alloc(64 * 1024 * 1024);

const signed = (name: string, code: string, draft: Draft): Attack => ({
  name,
  code,
  place: 'stream',
  prepare: (victim) => offer(victim, craft({ stated, ...draft })),
});

/** A frame header with a window descriptor and one raw block of no bytes. */
const frame = (descriptor: number, rest: readonly number[]) =>
  Buffer.from([0x28, 0xb5, 0x2f, 0xfd, descriptor, ...rest, 1, 0, 0]);

/** The frame with the content size that its header states made another one. */
function restated(bytes: Buffer, sizeBytes: number): Buffer {
  const changed = Buffer.from(bytes);
  const descriptor = changed.readUInt8(4);
  const at = 5 + ((descriptor & 0x20) === 0 ? 1 : 0);
  if (descriptor >> 6 === 2) changed.writeUInt32LE(sizeBytes, at);
  else if (descriptor >> 6 === 1) changed.writeUInt16LE(sizeBytes - 256, at);
  else throw new Error(`a frame header of another form: ${descriptor}`);
  return changed;
}

/** Attacks by layers that a trusted key signed. */
export const layerAttacks: readonly Attack[] = [
  signed('a zstd bomb', 'layer-too-large', { encoding: 'zstd', layer: zlib.zstdCompressSync(zeros) }),
  signed('a zstd bomb whose size nobody states', 'slot-too-small', {
    encoding: 'zstd',
    layer: zlib.zstdCompressSync(zeros),
    stated: 'nothing',
  }),
  signed('a gzip bomb', 'layer-too-large', { encoding: 'gzip', layer: zlib.gzipSync(zeros) }),
  signed('a gzip bomb whose size nobody states', 'slot-too-small', {
    encoding: 'gzip',
    layer: zlib.gzipSync(zeros),
    stated: 'nothing',
  }),
  signed('a frame that states less than it has', 'layer-corrupt', {
    encoding: 'zstd',
    layer: restated(whole, lessBytes),
  }),
  signed('a frame that states more than it has', 'layer-corrupt', {
    encoding: 'zstd',
    layer: restated(less, contentBytes),
  }),
  // Exponent 21 in the upper five bits: 2^(10 + 21) bytes.
  signed('a window of 2 GiB', 'layer-corrupt', { encoding: 'zstd', layer: frame(0, [21 << 3]) }),
  signed('a frame for a dictionary', 'layer-corrupt', { encoding: 'zstd', layer: frame(1, [0, 7]) }),
  signed('10,000 empty frames', 'digest-mismatch', {
    encoding: 'zstd',
    layer: Buffer.concat(Array.from({ length: 10_000 }, () => frame(0x20, [0]))),
  }),
  signed('bytes after the last frame', 'layer-corrupt', {
    encoding: 'zstd',
    layer: Buffer.concat([whole, Buffer.from('trailing bytes')]),
  }),
  signed('bytes after the last gzip member', 'layer-corrupt', {
    encoding: 'gzip',
    layer: Buffer.concat([zlib.gzipSync(content), Buffer.alloc(64)]),
  }),
  signed('a layer that ends inside a frame', 'download-truncated', { encoding: 'zstd', layer: whole.subarray(0, -9) }),
  signed('less content than is stated', 'digest-mismatch', { layer: content.subarray(0, 4096) }),
  signed('more content than is stated', 'layer-too-large', { layer: patternBytes(contentBytes + 4096, 1) }),
  signed('content of another digest than is stated', 'digest-mismatch', { layer: patternBytes(contentBytes, 8) }),
];

const sound = indexed();

/** An image whose block index is signed, and not sound. */
function signedIndex(name: string, code: string, change: (index: Buffer, headBytes: number) => void): Attack {
  return {
    name,
    code,
    place: 'stream',
    content: sound.content,
    prepare: (victim) => offer(victim, craft({ indexed: resigned(sound, change) })),
  };
}

const add = (bytes: Buffer, at: number, value: number) => bytes.writeUInt32LE(bytes.readUInt32LE(at) + value, at);

/** Changes what is listed of the frames: eight of them, blocks u16, compressed sizes u32, digests. */
const listed = { blocksAt: 1, sizesAt: 1 + 8 * 2, digestsAt: 1 + 8 * 6 } as const;

function entriesAttack(name: string, code: string, change: (entries: Buffer) => void): Attack {
  return signedIndex(name, code, (index, headBytes) => changeEntries(index, headBytes, change));
}

function swap(bytes: Buffer, at: number, other: number, sizeBytes: number): void {
  const kept = Buffer.from(bytes.subarray(at, at + sizeBytes));
  bytes.copyWithin(at, other, other + sizeBytes);
  kept.copy(bytes, other);
}

/** Attacks by block indexes. */
export const indexAttacks: readonly Attack[] = [
  signedIndex('an index with a gap', 'block-index-invalid', (index) => add(index, 64, -1)),
  signedIndex('an index with an overlap', 'block-index-invalid', (index) => add(index, 64, 1)),
  signedIndex('an index with a wrong sum', 'block-index-invalid', (index) => add(index, 68, 7)),
  signedIndex('an index of more frames than it lists', 'block-index-invalid', (index) => add(index, 48, 1)),
  signedIndex('an index of four thousand million frames', 'block-index-invalid', (index) => {
    index.writeUInt32LE(0xffffffff, 48);
  }),
  signedIndex('an index of another version', 'block-index-invalid', (index) => index.write('kaonbix2', 0, 'latin1')),
  signedIndex('an index of content of another size', 'block-index-invalid', (index) => {
    index.writeBigUInt64LE(BigInt(contentBytes - 1), 16);
  }),
  entriesAttack('entries with a gap', 'block-index-invalid', (entries) => {
    entries.writeUInt16LE(1, listed.blocksAt);
  }),
  entriesAttack('entries with a wrong size', 'block-index-invalid', (entries) => add(entries, listed.sizesAt, 1)),
  entriesAttack('entries out of order', 'digest-mismatch', (entries) => {
    swap(entries, listed.digestsAt, listed.digestsAt + 32, 32);
  }),
  {
    name: 'an index with other bytes than its digest says',
    code: 'digest-mismatch',
    place: 'stream',
    content: sound.content,
    prepare: (victim) => {
      const reference = offer(victim, craft({ indexed: sound }));
      const other = Buffer.from(sound.indexBytes).fill(1, 70);
      victim.registry.content.putBlob('os/edge', other, sound.signed.index.layerDigest);
      return reference;
    },
  },
  {
    name: 'two frames that changed places',
    code: 'digest-mismatch',
    place: 'stream',
    content: sound.content,
    prepare: (victim) => {
      const reference = offer(victim, craft({ indexed: sound }));
      const bytes = Buffer.from(sound.bytes);
      const half = bytes.byteLength >> 1;
      const swapped = Buffer.concat([bytes.subarray(0, 64), bytes.subarray(half, half + 64), bytes.subarray(128)]);
      victim.registry.content.putBlob('os/edge', swapped, sound.signed.layerDigest);
      return reference;
    },
  },
];
