import { join } from 'node:path';
import { type RealRegistry, startDockerRegistry } from '../system/docker-registry.ts';
import type { Cache } from './cache.ts';
import type { Content } from './content.ts';
import { kaonctl, kaonctlOrThrow } from './kaonctl.ts';
import { type BuildTraits, layoutOf } from './layouts.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const partitionType = 'application/vnd.kaon.partition.v1.raw';

/** An image in the registry. */
export interface PublishedImage {
  /** `os/bench:TAG`, without the host: the same image is fetched past several of them. */
  readonly name: string;
  readonly digest: string;
  /** The layer with the partition's content. */
  readonly layer: { readonly digest: string; readonly sizeBytes: number };
  /** Everything else of the image: manifest, config, block index. */
  readonly otherBytes: number;
}

/** A docker-registry on loopback, and images that kaonctl built, pushed and signed. */
export class ImageShop {
  readonly registry: RealRegistry;
  readonly publicKey: string;
  readonly #folder: string;
  readonly #cache: Cache;
  readonly #key: string;
  readonly #published = new Map<string, Promise<PublishedImage>>();
  #images = 0;

  private constructor(folder: string, registry: RealRegistry, cache: Cache) {
    this.registry = registry;
    this.publicKey = join(folder, 'release.pub');
    this.#folder = folder;
    this.#cache = cache;
    this.#key = join(folder, 'release.key');
  }

  static async open(folder: string, cache: Cache): Promise<ImageShop> {
    await kaonctlOrThrow('keygen', '--output', join(folder, 'release'));
    return new ImageShop(folder, await startDockerRegistry(folder, 'registry'), cache);
  }

  async close(): Promise<void> {
    await this.registry.stop();
  }

  /** Builds, pushes and signs an image of `content`, once in a run. */
  async publish(content: Content, traits: BuildTraits = {}): Promise<PublishedImage> {
    const key = `${content.file} after ${traits.previous?.file ?? 'nothing'}`;
    const known = this.#published.get(key);
    if (known !== undefined) return known;
    const published = layoutOf(this.#cache, content, traits).then((layout) => this.#push(layout));
    this.#published.set(key, published);
    return published;
  }

  /** Publishes a patch between two images beside the newer one; resolves to why not where this kaonctl can't. */
  async publishPatch(older: PublishedImage, newer: PublishedImage): Promise<string | undefined> {
    const [from, to] = [older, newer].map(({ name }) => `${this.registry.host}/${name}`);
    const args = ['image', 'patch', from ?? '', to ?? '', '--key', this.#key, '--insecure-http'];
    const { exitCode, stderr } = await kaonctl(args);
    if (exitCode === 0) return undefined;
    return /unknown command|unexpected argument|too many arguments|usage-invalid/.test(stderr)
      ? 'this kaonctl has no image patch'
      : `kaonctl image patch failed with ${exitCode}: ${stderr.trim().split('\n')[0] ?? ''}`;
  }

  /** Where a client gets a blob. */
  blobUrl(digest: string): string {
    return `http://${this.registry.host}/v2/os/bench/blobs/${digest}`;
  }

  /** The file in which the registry has a blob. */
  blobFile(digest: string): string {
    const hex = digest.slice('sha256:'.length);
    return join(this.#folder, 'registry/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  }

  async #push(layout: string): Promise<PublishedImage> {
    this.#images += 1;
    const name = `os/bench:v${this.#images}`;
    const reference = `${this.registry.host}/${name}`;
    await kaonctlOrThrow('image', 'push', layout, reference, '--insecure-http');
    await kaonctlOrThrow('image', 'sign', '--key', this.#key, reference, '--insecure-http');
    return this.#read(name);
  }

  async #read(name: string): Promise<PublishedImage> {
    const [repository, tag] = name.split(':');
    const url = `http://${this.registry.host}/v2/${repository ?? ''}/manifests/${tag ?? ''}`;
    const answer = await fetch(url, { headers: { accept: manifestType } });
    if (!answer.ok) throw new Error(`cannot read the manifest of ${name}: ${answer.status}`);
    const text = await answer.text();
    const manifest = JSON.parse(text) as {
      readonly config: { readonly size: number };
      readonly layers: readonly { readonly mediaType: string; readonly digest: string; readonly size: number }[];
    };
    const layer = manifest.layers.find(({ mediaType }) => mediaType.startsWith(partitionType));
    if (layer === undefined) throw new Error(`cannot use ${name}: it has no partition`);
    const sizes = [manifest.config, ...manifest.layers.filter((other) => other !== layer)].map(({ size }) => size);
    return {
      name,
      digest: answer.headers.get('docker-content-digest') ?? '',
      layer: { digest: layer.digest, sizeBytes: layer.size },
      otherBytes: Buffer.byteLength(text) + sizes.reduce((sum, size) => sum + size, 0),
    };
  }
}
