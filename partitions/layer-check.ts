import { createHash, type Hash } from 'node:crypto';
import { PartitionError } from './errors.ts';
import type { TrustedPartition } from './trusted-descriptor.ts';

/** The algorithm of a signed digest. An unknown one is a bug of who minted it. */
function algorithmOf(digest: string): 'sha256' | 'sha512' {
  if (digest.startsWith('sha256:')) return 'sha256';
  if (digest.startsWith('sha512:')) return 'sha512';
  throw new Error(`internal: cannot check a digest with an unknown algorithm: ${digest.slice(0, 80)}`);
}

/** The algorithm of `like`, sha256 where there is none. */
export function digestAlgorithmOf(like: string | undefined): 'sha256' | 'sha512' {
  return like === undefined ? 'sha256' : algorithmOf(like);
}

/** Counts and hashes bytes as they pass. */
export class DigestMeter {
  readonly #algorithm: 'sha256' | 'sha512';
  readonly #hash: Hash;
  #sizeBytes = 0;

  /** Uses the algorithm of `like`, sha256 where there is none. */
  constructor(like: string | undefined) {
    this.#algorithm = digestAlgorithmOf(like);
    this.#hash = createHash(this.#algorithm);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#sizeBytes += bytes.byteLength;
  }

  /** The digest of all bytes, with the algorithm. Ends the meter. */
  digest(): string {
    return `${this.#algorithm}:${this.#hash.digest('hex')}`;
  }
}

/** What is signed of a layer, and what it is for. */
type SignedLayer = Pick<TrustedPartition, 'name' | 'layerDigest' | 'layerSizeBytes'>;

/** Compares a layer's bytes, as fetched, with the signed size and digest while they pass. */
export class LayerCheck {
  readonly #partition: SignedLayer;
  readonly #meter: DigestMeter;
  readonly #onBytes: (sizeBytes: number) => void;
  #isProven = false;

  /** `onBytes` hears of the bytes that pass. */
  constructor(partition: SignedLayer, onBytes: (sizeBytes: number) => void = () => undefined) {
    this.#partition = partition;
    this.#onBytes = onBytes;
    this.#meter = new DigestMeter(partition.layerDigest);
  }

  get fetchedBytes(): number {
    return this.#meter.sizeBytes;
  }

  /**
   * Passes `source` through. Throws `layer-too-large` before it hands out more than was signed, and at the end
   * `download-truncated` or `digest-mismatch`.
   */
  async *pass(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { name, layerDigest, layerSizeBytes } = this.#partition;
    for await (const bytes of source) {
      if (this.#meter.sizeBytes + bytes.byteLength > layerSizeBytes) {
        throw new PartitionError(
          'layer-too-large',
          `cannot use the layer of partition ${name}: it has more than its ${layerSizeBytes} signed bytes`,
          { details: { partition: name, layerDigest, layerSizeBytes } },
        );
      }
      this.#meter.update(bytes);
      this.#onBytes(bytes.byteLength);
      yield bytes;
    }
    const { sizeBytes } = this.#meter;
    if (sizeBytes < layerSizeBytes) {
      throw new PartitionError(
        'download-truncated',
        `cannot use the layer of partition ${name}: it ended after ${sizeBytes} of ${layerSizeBytes} bytes`,
        { details: { partition: name, layerDigest, layerSizeBytes, sizeBytes } },
      );
    }
    const found = this.#meter.digest();
    if (found !== layerDigest) {
      throw new PartitionError('digest-mismatch', `cannot use the layer of partition ${name}: its digest is ${found}`, {
        details: { partition: name, want: layerDigest, found },
      });
    }
    this.#isProven = true;
  }

  /** Throws `layer-corrupt` unless the layer was read to its end: a decoder may have stopped before. */
  assertProven(): void {
    if (this.#isProven) return;
    throw new PartitionError(
      'layer-corrupt',
      `cannot use the layer of partition ${this.#partition.name}: its content ends before its bytes do`,
      { details: { partition: this.#partition.name, fetchedBytes: this.#meter.sizeBytes } },
    );
  }
}

/** Compares the size of a partition's content with what was signed and what fits, as it grows. */
export class ContentLimit {
  readonly #partition: TrustedPartition;
  readonly #assertFits: (endBytes: number) => void;
  #sizeBytes = 0;

  /** `assertFits` throws when content up to a place is more than the partition can have. */
  constructor(partition: TrustedPartition, assertFits: (endBytes: number) => void) {
    this.#partition = partition;
    this.#assertFits = assertFits;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Where the next `sizeBytes` of content begin. Throws `layer-too-large` when it is more than was signed. */
  advance(sizeBytes: number): number {
    const { name, contentSizeBytes } = this.#partition;
    const offset = this.#sizeBytes;
    if (contentSizeBytes !== undefined && offset + sizeBytes > contentSizeBytes) {
      throw new PartitionError(
        'layer-too-large',
        `cannot write partition ${name}: its content has more than the ${contentSizeBytes} signed bytes`,
        { details: { partition: name, contentSizeBytes } },
      );
    }
    this.#assertFits(offset + sizeBytes);
    this.#sizeBytes = offset + sizeBytes;
    return offset;
  }
}

/** Throws `digest-mismatch` unless the size and digest of a partition's content are the signed ones, where there are. */
export function checkContent(partition: TrustedPartition, sizeBytes: number, digest: string): void {
  const { name, contentSizeBytes, contentDigest } = partition;
  if ((contentSizeBytes ?? sizeBytes) === sizeBytes && (contentDigest ?? digest) === digest) return;
  throw new PartitionError(
    'digest-mismatch',
    `cannot write partition ${name}: its content has ${sizeBytes} bytes and digest ${digest}, not what is signed`,
    { details: { partition: name, want: contentDigest, found: digest, contentSizeBytes, sizeBytes } },
  );
}
