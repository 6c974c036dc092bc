import type { IndexBinding } from './block-index/read-index.ts';

/** How a layer's bytes become a partition's content. */
export type LayerEncoding = 'raw' | 'gzip' | 'zstd';

/** The signed facts of one partition of an image. */
export interface TrustedPartition {
  /** The partition's name in the configuration. */
  readonly name: string;
  readonly encoding: LayerEncoding;
  /** Digest (`sha256:…` or `sha512:…`) and size of the layer's bytes as fetched. */
  readonly layerDigest: string;
  readonly layerSizeBytes: number;
  /** Digest and size of the content, where signed bytes state them; both or neither. */
  readonly contentDigest: string | undefined;
  readonly contentSizeBytes: number | undefined;
  /** The layer that lists its frames and blocks, where the image has one; the content's digest is stated then. */
  readonly index?: IndexBinding | undefined;
}

/** What a file that a loader starts is to it. */
export type PayloadRole = 'kernel' | 'initrd' | 'uki' | 'devicetree';

/** The signed facts of one file that a loader starts from its own partition; the layer's bytes are the file's. */
export interface TrustedPayload {
  readonly role: PayloadRole;
  readonly layerDigest: string;
  readonly layerSizeBytes: number;
}

/** What an image brings for a loader that cannot read a slot. */
export interface TrustedBoot {
  /** Initrds in the order that the loader loads them. */
  readonly payloads: readonly TrustedPayload[];
  /** Kernel options of the image, one line of printable ASCII. */
  readonly options: string | undefined;
}

/** Everything the writer obeys; each field comes from signed bytes. */
export interface TrustedFacts {
  /** Digest of the image's manifest, with the algorithm. */
  readonly manifestDigest: string;
  readonly partitions: readonly TrustedPartition[];
  readonly boot?: TrustedBoot | undefined;
}

const minted = Symbol('minted');

/**
 * Proof that an image's signature was verified by the trust policy in this process. Only `agent/trust` (and fakes)
 * mint one; the writer takes nothing else. A type does not cross a process, so each process mints its own.
 */
export class TrustedDescriptor {
  readonly facts: TrustedFacts;
  // A private field can't be forged by a cast or by JSON: `in` tells at run time.
  readonly #proof: typeof minted;

  private constructor(facts: TrustedFacts) {
    this.facts = facts;
    this.#proof = minted;
  }

  /** Mints the proof. The caller has verified a signature over `facts.manifestDigest` and every fact against it. */
  static mintAfterVerification(facts: TrustedFacts): TrustedDescriptor {
    return new TrustedDescriptor(Object.freeze({ ...facts, partitions: Object.freeze([...facts.partitions]) }));
  }

  /** Whether `value` was minted in this process. */
  static isMinted(value: unknown): value is TrustedDescriptor {
    return typeof value === 'object' && value !== null && #proof in value && value.#proof === minted;
  }
}
