/**
 * Where zstd frames begin and end (RFC 8878, section 3.1), without decoding them:
 *
 *     frame      magic 0xFD2FB528 | header 2..14 bytes | blocks | 4 bytes of checksum where the header says so
 *     header     descriptor 1 | window 0..1 | dictionary id 0..4 | content size 0..8
 *     block      3 bytes: last 1 bit, type 2 bits (raw, RLE, compressed, reserved), size 21 bits | body
 *     skippable  magic 0x184D2A50..5F | size u32 | bytes
 *
 * All numbers are little-endian.
 */
import { PartitionError } from '../errors.ts';

/** Limits on what a frame may ask of the reader before its digest is known. */
export const zstdLimits = { windowBytes: 128 * 1024 * 1024, blockBytes: 128 * 1024 } as const;

/** What a frame's header states. */
export interface ZstdFrameHeader {
  /** Decoded size, where the frame states it. */
  readonly contentSizeBytes: number | undefined;
  readonly windowSizeBytes: number;
  readonly hasChecksum: boolean;
}

/** The input cut at frame boundaries; the bytes of skippable frames are left out. */
export type ZstdPiece =
  /** A frame begins; its header's bytes come next. */
  | { readonly kind: 'start'; readonly header: ZstdFrameHeader }
  /** Bytes of the frame that began last; a view of what was pushed. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** The frame is complete. `frameSizeBytes` is its exact compressed size. */
  | { readonly kind: 'end'; readonly frameSizeBytes: number };

type Place =
  'magic' | 'skippable-size' | 'skippable-body' | 'descriptor' | 'header' | 'block-header' | 'block-body' | 'checksum';

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;

function corrupt(reason: string): PartitionError {
  return new PartitionError('layer-corrupt', `cannot decode the layer: ${reason}`);
}

function headerRestBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  return (isSingleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
}

function readNumber(bytes: Buffer, at: number, sizeBytes: number): number {
  if (sizeBytes < 8) return bytes.readUIntLE(at, sizeBytes);
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`a frame states a content of ${value} bytes`);
  return Number(value);
}

/** Parses descriptor and rest of a frame header. Throws `layer-corrupt`. */
function parseHeader(bytes: Buffer): ZstdFrameHeader {
  const descriptor = bytes.readUInt8(0);
  if ((descriptor & 0x08) !== 0) throw corrupt('a frame header has its reserved bit set');
  const isSingleSegment = (descriptor & 0x20) !== 0;
  let at = 1;
  let windowSizeBytes = 0;
  if (!isSingleSegment) {
    const window = bytes.readUInt8(at);
    const base = 2 ** (10 + (window >> 3));
    windowSizeBytes = base + (base / 8) * (window & 7);
    at += 1;
  }
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  if (dictionaryBytes > 0 && readNumber(bytes, at, dictionaryBytes) !== 0) {
    throw corrupt('a frame wants a dictionary, and kaon has none');
  }
  at += dictionaryBytes;
  let contentSizeBytes: number | undefined;
  if (at < bytes.byteLength) {
    const sizeBytes = bytes.byteLength - at;
    // Two bytes count from 256, as one byte covers what is below.
    contentSizeBytes = readNumber(bytes, at, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  }
  if (isSingleSegment) windowSizeBytes = contentSizeBytes ?? 0;
  if (windowSizeBytes > zstdLimits.windowBytes) {
    throw corrupt(`a frame wants a window of ${windowSizeBytes} bytes, the limit is ${zstdLimits.windowBytes}`);
  }
  return { contentSizeBytes, windowSizeBytes, hasChecksum: (descriptor & 0x04) !== 0 };
}

/** Walks over zstd bytes as they come and cuts them into frames. Holds at most one header. */
export class ZstdBoundaries {
  #place: Place = 'magic';
  /** Bytes still to come of the place; of a fixed-size place, those that `#held` still lacks. */
  #missing = 4;
  readonly #held = Buffer.alloc(24);
  #heldBytes = 0;
  #header: ZstdFrameHeader = { contentSizeBytes: undefined, windowSizeBytes: 0, hasChecksum: false };
  #isLastBlock = false;
  #frameBytes = 0;
  #hasFrame = false;

  /** Takes the next bytes. Throws `layer-corrupt` where they are no zstd, or break a limit. */
  *push(input: Uint8Array): Generator<ZstdPiece> {
    let at = 0;
    let runStart = 0;
    while (at < input.byteLength) {
      const taken = Math.min(this.#missing, input.byteLength - at);
      const isBody = this.#place === 'block-body' || this.#place === 'skippable-body' || this.#place === 'checksum';
      if (!isBody) {
        this.#held.set(input.subarray(at, at + taken), this.#heldBytes);
        this.#heldBytes += taken;
      }
      at += taken;
      this.#missing -= taken;
      this.#frameBytes += taken;
      while (this.#missing === 0) {
        const done = this.#step();
        if (done === 'start') {
          yield { kind: 'start', header: this.#header };
          yield { kind: 'bytes', bytes: Buffer.from(this.#held.subarray(0, this.#heldBytes)) };
          this.#enter('block-header', 3);
          runStart = at;
        } else if (done === 'end') {
          if (at > runStart) yield { kind: 'bytes', bytes: input.subarray(runStart, at) };
          yield { kind: 'end', frameSizeBytes: this.#frameBytes };
          this.#enter('magic', 4);
        }
      }
    }
    if (this.#isInFrame() && at > runStart) yield { kind: 'bytes', bytes: input.subarray(runStart, at) };
  }

  /** Says that the input is over. Throws `download-truncated` inside a frame, or when there was none. */
  end(): void {
    const isBetweenFrames = this.#place === 'magic' && this.#heldBytes === 0;
    if (isBetweenFrames && this.#hasFrame) return;
    const where = isBetweenFrames ? 'it has no frame' : `it ends in the ${this.#place.replace('-', ' ')} of a frame`;
    throw new PartitionError('download-truncated', `cannot decode the layer: ${where}`);
  }

  /** Acts on the place that is complete now, and moves on. */
  #step(): 'start' | 'end' | undefined {
    switch (this.#place) {
      case 'magic':
        this.#readMagic();
        return undefined;
      case 'skippable-size':
        this.#enter('skippable-body', this.#held.readUInt32LE(4));
        return undefined;
      case 'skippable-body':
        this.#enter('magic', 4);
        return undefined;
      case 'descriptor':
        this.#extend('header', headerRestBytes(this.#held.readUInt8(4)));
        return undefined;
      case 'header':
        this.#header = parseHeader(this.#held.subarray(4, this.#heldBytes));
        return 'start';
      case 'block-header':
        this.#readBlockHeader();
        return undefined;
      case 'block-body':
        if (!this.#isLastBlock) this.#enter('block-header', 3);
        else if (this.#header.hasChecksum) this.#enter('checksum', 4);
        else return 'end';
        return undefined;
      case 'checksum':
        return 'end';
    }
  }

  #readMagic(): void {
    const magic = this.#held.readUInt32LE(0);
    if (magic === frameMagic) this.#extend('descriptor', 1);
    else if ((magic & 0xfffffff0) >>> 0 === skippableMagic) this.#extend('skippable-size', 4);
    else throw corrupt(`want the start of a zstd frame, found ${magic.toString(16).padStart(8, '0')}`);
    this.#hasFrame = true;
    this.#frameBytes = 4;
  }

  #readBlockHeader(): void {
    const header = this.#held.readUIntLE(0, 3);
    const type = (header >> 1) & 3;
    const sizeBytes = header >> 3;
    if (type === 3) throw corrupt('a block has the reserved type');
    if (sizeBytes > Math.min(zstdLimits.blockBytes, this.#header.windowSizeBytes)) {
      throw corrupt(`a block states ${sizeBytes} bytes, more than its frame allows`);
    }
    this.#isLastBlock = (header & 1) !== 0;
    this.#enter('block-body', type === 1 ? 1 : sizeBytes);
  }

  #isInFrame(): boolean {
    return this.#place === 'block-header' || this.#place === 'block-body' || this.#place === 'checksum';
  }

  #enter(place: Place, missing: number): void {
    this.#heldBytes = 0;
    this.#extend(place, missing);
  }

  #extend(place: Place, missing: number): void {
    this.#place = place;
    this.#missing = missing;
  }
}
