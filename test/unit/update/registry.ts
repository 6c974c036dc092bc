import { AgentError } from '../../../agent/core/errors.ts';
import { digestOf } from '../../../agent/core/image-format/digest.ts';
import type { Reference } from '../../../agent/core/image-format/reference.ts';
import type {
  ByteRange,
  ImageSource,
  PatchOffer,
  ResolvedImage,
  SignatureEvidence,
  SignedImage,
  TrustedImage,
  TrustPolicy,
} from '../../../agent/core/ports.ts';
import type { MintingPolicy } from '../../../agent/slotd/local-slot-service.ts';
import { TrustedDescriptor } from '../../../partitions/trusted-descriptor.ts';
import { cutRanges } from '../../fakes/cut-ranges.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** An image of the registry, each fact of it to choose. */
export interface TestImage {
  readonly tag: string;
  readonly facts: TrustedImage;
  readonly content: Uint8Array;
}

/** The image `tag` of 8192 bytes for one partition `root`. */
export function testImage(tag: string, facts: Partial<TrustedImage> = {}): TestImage {
  const content = new Uint8Array(8192);
  for (let at = 0; at < content.byteLength; at += 1) content[at] = (at + tag.length * 31 + tag.charCodeAt(0)) & 0xff;
  const root = { name: 'root', layerDigest: digestOf(content), layerSizeBytes: 8192, contentSizeBytes: 8192 };
  return {
    tag,
    content,
    facts: {
      manifestDigest: digestOf(bytesOf(`manifest of ${tag}`)),
      rule: 'registry.acme.io/os',
      keyIds: ['release-1'],
      isDowngradeAllowed: false,
      name: 'edge',
      version: tag,
      compatible: ['acme-gw-2'],
      rollbackIndex: 0,
      minimumAgent: undefined,
      agentVersion: undefined,
      partitions: [root],
      ...facts,
    },
  };
}

/** A registry with its signatures and both judges: what is not in it, nobody signed. */
export class TestRegistry implements ImageSource, TrustPolicy, MintingPolicy {
  /** What each resolution is answered with instead, while it is set. */
  failure: Error | undefined;
  /** What is offered beside an image, by the digests of both: `from to`. */
  readonly patchesBetween = new Map<string, readonly PatchOffer[]>();
  patchFailure: Error | undefined;
  /** How often somebody resolved a reference. */
  resolutions = 0;
  readonly #images = new Map<string, TestImage>();
  readonly #tags = new Map<string, TestImage>();

  /** Puts `image` under its tag, or moves `tag` to it. */
  push(image: TestImage, tag = image.tag): void {
    this.#tags.set(tag, image);
    this.#images.set(image.facts.manifestDigest, image);
  }

  async resolve(reference: Reference, signal: AbortSignal): Promise<ResolvedImage> {
    this.resolutions += 1;
    signal.throwIfAborted();
    if (this.failure !== undefined) throw this.failure;
    const { tag = 'latest', digest } = reference;
    const image = digest === undefined ? this.#tags.get(tag) : this.#images.get(digest);
    if (image === undefined) throw new AgentError('image-not-found', `cannot find ${tag}: it was never pushed`);
    const { manifestDigest } = image.facts;
    return {
      reference,
      resolvedDigest: manifestDigest,
      indexBytes: undefined,
      manifestDigest,
      manifestBytes: bytesOf(`manifest of ${image.tag}`),
      configBytes: bytesOf('{}'),
    };
  }

  async signatures(): Promise<readonly SignatureEvidence[]> {
    return [];
  }

  async patches(image: ResolvedImage, base: string): Promise<readonly PatchOffer[]> {
    if (this.patchFailure !== undefined) throw this.patchFailure;
    return this.patchesBetween.get(`${base} ${image.manifestDigest}`) ?? [];
  }

  async *openLayer(
    _image: ResolvedImage,
    layer: { readonly digest: string },
    _signal: AbortSignal,
    ranges?: readonly ByteRange[],
  ): AsyncGenerator<Uint8Array> {
    for (const { content } of this.#images.values()) {
      if (digestOf(content) !== layer.digest) continue;
      yield* cutRanges(content, ranges);
      return;
    }
  }

  judge({ image }: SignedImage): TrustedImage {
    const known = this.#images.get(image.manifestDigest);
    if (known === undefined) throw new AgentError('signature-missing', 'cannot trust the image: it has no signature');
    return known.facts;
  }

  judgeAndMint(signed: SignedImage): { readonly image: TrustedImage; readonly descriptor: TrustedDescriptor } {
    const image = this.judge(signed);
    const partitions = image.partitions.map((partition) => ({
      ...partition,
      encoding: 'raw' as const,
      contentDigest: partition.contentSizeBytes === undefined ? undefined : partition.layerDigest,
    }));
    const { manifestDigest } = image;
    return { image, descriptor: TrustedDescriptor.mintAfterVerification({ manifestDigest, partitions }) };
  }
}
