import { TrustedDescriptor, type TrustedPartition } from '../../partitions/trusted-descriptor.ts';
import { AgentError } from '../../agent/core/errors.ts';
import { digestOf } from '../../agent/core/image-format/digest.ts';
import type { Reference } from '../../agent/core/image-format/reference.ts';
import type {
  ByteRange,
  ImageSource,
  PatchOffer,
  ResolvedImage,
  SignatureEvidence,
  SignedImage,
  TrustedImage,
  TrustPolicy,
} from '../../agent/core/ports.ts';
import type { MintingPolicy } from '../../agent/slotd/local-slot-service.ts';
import { cutRanges } from '../fakes/cut-ranges.ts';
import { indexedLayer } from '../fakes/indexed-layer.ts';
import { sampleUki } from '../fakes/sample-uki.ts';

/** How an image behaves once it is booted. */
export type Behaviour =
  | 'healthy'
  /** boots, its agent runs, a required check fails */
  | 'fails-health'
  /** passes its trial, and fails the checks that go on after its commit */
  | 'fails-probation'
  /** its kernel hangs before any userspace; a watchdog or somebody's hand resets the node */
  | 'hangs'
  /** panics before any userspace */
  | 'dies-early'
  /** boots fine, and has no working agent */
  | 'no-agent'
  /** as `fails-health` in its first boot, and as `no-agent` in every later one */
  | 'fails-then-no-agent';

/** What is signed of a partition's layer, and the bytes of it and of its index. */
interface CrashLayer {
  readonly signed: TrustedPartition;
  readonly blobs: readonly Uint8Array[];
}

/** An image of the simulated registry. */
export interface CrashImage {
  readonly name: string;
  readonly behaviour: Behaviour;
  /** Which agent runs in it: 2 writes what 1 does not know. */
  readonly agent: 1 | 2;
  readonly partitions: Readonly<Record<string, Uint8Array>>;
  /** Whether its layers are zstd frames with a block index; else they are the content. */
  readonly isIndexed: boolean;
  readonly layers: readonly CrashLayer[];
  /** For loaders that read no slot: a unified kernel image, which does for a kernel as well. */
  readonly kernel: Uint8Array;
}

/** What is signed in the kernels: the factory's image is the newest, so that each update of it goes back. */
const kernelVersions: Readonly<Record<string, string>> = { factory: '5', new: '4', next: '6', older: '3' };

export const partitionBytes = { boot: 8192, root: 16384 } as const;

/** An image whose content is told apart in every sector. */
export function makeImage(name: string, behaviour: Behaviour, agent: 1 | 2 = 1, isIndexed = false): CrashImage {
  const fill = (sizeBytes: number, salt: number) => {
    const bytes = new Uint8Array(sizeBytes);
    const seed = Buffer.from(name).reduce((sum, letter) => (sum * 31 + letter) % 65_521, salt);
    for (let at = 0; at < sizeBytes; at += 1) bytes[at] = (seed + (at >> 9) * 7 + (at & 0xff)) & 0xff;
    return bytes;
  };
  // The root's content is smaller than its partition, so that the tail is zeroed.
  const partitions = { boot: fill(partitionBytes.boot, 1), root: fill(10_000, 2) };
  const layers = Object.entries(partitions).map(([part, content]) => layerOf(part, content, isIndexed));
  const release = `ID=edge\nIMAGE_VERSION=${kernelVersions[name] ?? '1'}\n`;
  const kernel = sampleUki({ '.osrel': release, '.linux': Buffer.from(fill(1_500, 3)).toString('latin1') });
  return { name, behaviour, agent, partitions, isIndexed, layers, kernel };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

function layerOf(name: string, content: Uint8Array, isIndexed: boolean): CrashLayer {
  if (isIndexed) {
    const { signed, bytes, indexBytes } = indexedLayer(name, content, [4096]);
    return { signed, blobs: [bytes, indexBytes] };
  }
  const digest = digestOf(content);
  const sizeBytes = content.byteLength;
  const layer = { layerDigest: digest, layerSizeBytes: sizeBytes, contentDigest: digest, contentSizeBytes: sizeBytes };
  return { signed: { name, encoding: 'raw', ...layer }, blobs: [content] };
}

/** The manifest digest that stands for an image. */
export function digestOfImage(image: CrashImage): string {
  return digestOf(bytesOf(`manifest of ${image.name}`));
}

/** A registry, its signatures and both judges in one: what is not in it, nobody signed. */
export class CrashRegistry implements ImageSource, TrustPolicy, MintingPolicy {
  readonly #images: readonly CrashImage[];
  readonly #role: 'kernel' | 'uki';

  /** `role` is what the images' kernels are for the loader. */
  constructor(images: readonly CrashImage[], role: 'kernel' | 'uki') {
    this.#images = images;
    this.#role = role;
  }

  async resolve(reference: Reference): Promise<ResolvedImage> {
    const image = this.#images.find((one) => one.name === reference.tag || digestOfImage(one) === reference.digest);
    if (image === undefined) throw new AgentError('image-not-found', 'cannot find the image: it was never pushed');
    return {
      reference,
      resolvedDigest: digestOfImage(image),
      indexBytes: undefined,
      manifestDigest: digestOfImage(image),
      manifestBytes: bytesOf(`manifest of ${image.name}`),
      configBytes: bytesOf('{}'),
    };
  }

  async signatures(): Promise<readonly SignatureEvidence[]> {
    return [];
  }

  async patches(): Promise<readonly PatchOffer[]> {
    return [];
  }

  async *openLayer(
    _image: ResolvedImage,
    layer: { readonly digest: string },
    _signal: AbortSignal,
    ranges?: readonly ByteRange[],
  ): AsyncGenerator<Uint8Array> {
    for (const image of this.#images) {
      for (const bytes of [...image.layers.flatMap(({ blobs }) => blobs), image.kernel]) {
        if (digestOf(bytes) === layer.digest) {
          yield* cutRanges(bytes, ranges);
          return;
        }
      }
    }
  }

  judge(signed: SignedImage): TrustedImage {
    const image = this.#images.find((one) => digestOfImage(one) === signed.image.manifestDigest);
    if (image === undefined) throw new AgentError('signature-missing', 'cannot trust the image: it has no signature');
    return {
      manifestDigest: signed.image.manifestDigest,
      rule: 'registry.acme.io',
      keyIds: ['release-1'],
      isDowngradeAllowed: false,
      name: image.name,
      version: image.name,
      compatible: ['acme'],
      rollbackIndex: 0,
      minimumAgent: undefined,
      agentVersion: undefined,
      partitions: image.layers.map(({ signed }) => signed),
      boot: {
        payloads: [{ role: this.#role, layerDigest: digestOf(image.kernel), layerSizeBytes: image.kernel.byteLength }],
        options: this.#role === 'uki' ? undefined : 'ro',
      },
    };
  }

  judgeAndMint(signed: SignedImage): { readonly image: TrustedImage; readonly descriptor: TrustedDescriptor } {
    const image = this.judge(signed);
    const found = this.#images.find((one) => digestOfImage(one) === image.manifestDigest);
    const descriptor = TrustedDescriptor.mintAfterVerification({
      manifestDigest: image.manifestDigest,
      partitions: found?.layers.map((layer) => layer.signed) ?? [],
      boot: image.boot,
    });
    return { image, descriptor };
  }
}
