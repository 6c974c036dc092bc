import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RealRegistry, startDockerRegistry } from '../system/docker-registry.ts';
import type { Content } from './content.ts';

const program = fileURLToPath(new URL('../../package/bin/kaonctl.js', import.meta.url));
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

/** How kaonctl ended. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real kaonctl to its end. */
export async function kaonctl(args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.stderr += text));
  const exitCode = await new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 1)));
  return { exitCode, ...texts };
}

async function kaonctlOrThrow(...args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await kaonctl(args);
  if (exitCode !== 0) throw new Error(`kaonctl ${args.join(' ')} failed with ${exitCode}: ${stderr}`);
}

/** A docker-registry on loopback, and images that kaonctl built, pushed and signed. */
export class ImageShop {
  readonly registry: RealRegistry;
  readonly publicKey: string;
  readonly #folder: string;
  readonly #key: string;
  readonly #published = new Map<string, Promise<PublishedImage>>();
  #images = 0;

  private constructor(folder: string, registry: RealRegistry) {
    this.registry = registry;
    this.publicKey = join(folder, 'release.pub');
    this.#folder = folder;
    this.#key = join(folder, 'release.key');
  }

  static async open(folder: string): Promise<ImageShop> {
    await kaonctlOrThrow('keygen', '--output', join(folder, 'release'));
    return new ImageShop(folder, await startDockerRegistry(folder, 'registry'));
  }

  async close(): Promise<void> {
    await this.registry.stop();
  }

  /** Builds `content` into a layout at `path`. */
  async build(content: Content, path: string, level = 3): Promise<void> {
    await kaonctlOrThrow(
      ...['image', 'build', '--name', 'bench', '--version', '1', '--compatible', 'bench', '--level', String(level)],
      ...['--partition', `root=${content.file}`, '--output', path],
    );
  }

  /** Builds, pushes and signs an image of `content`, once in a run. */
  async publish(content: Content): Promise<PublishedImage> {
    const known = this.#published.get(content.file);
    if (known !== undefined) return known;
    this.#images += 1;
    const layout = join(this.#folder, `layout-${this.#images}`);
    const published = this.build(content, layout).then(() => this.publishLayout(layout));
    this.#published.set(content.file, published);
    return published;
  }

  /** Pushes and signs what `build` made. */
  async publishLayout(layout: string): Promise<PublishedImage> {
    this.#images += 1;
    const name = `os/bench:v${this.#images}`;
    const reference = `${this.registry.host}/${name}`;
    await kaonctlOrThrow('image', 'push', layout, reference, '--insecure-http');
    await kaonctlOrThrow('image', 'sign', '--key', this.#key, reference, '--insecure-http');
    return this.#read(name);
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
