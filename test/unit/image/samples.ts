import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildImage, type BuildInput, type BuiltImage } from '../../../agent/image/build-image.ts';
import { LayoutImageSource } from '../../../agent/oci/layout-source.ts';
import { RegistryPusher } from '../../../agent/oci/registry-pusher.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import { defaultTransferLimits } from '../../../agent/oci/settings.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { patternBytes } from '../../fakes/sample-image.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

export const never = new AbortController().signal;
export const platform = { os: 'linux', architecture: 'amd64', variant: undefined };

/** A folder for one test, with `remove` to end it. */
export async function makeFolder(): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'kaon-image-'));
  return { path, remove: () => rm(path, { recursive: true }) };
}

/** Content that a zstd frame makes smaller: rows of one byte, and bytes that do not repeat. */
export function partitionBytes(sizeBytes: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(sizeBytes, seed);
  patternBytes(Math.floor(sizeBytes / 8) * 4, seed).copy(bytes);
  return bytes;
}

/** Builds an image of `content` into `folder`/image, named v1. */
export async function buildSample(
  folder: string,
  content: Readonly<Record<string, Uint8Array>>,
  change: Partial<BuildInput> = {},
): Promise<BuiltImage & { readonly layout: string }> {
  const partitions: { name: string; file: string }[] = [];
  for (const [name, bytes] of Object.entries(content)) {
    const file = join(folder, `${name}.img`);
    await writeFile(file, bytes);
    partitions.push({ name, file });
  }
  const input: BuildInput = {
    name: 'edge',
    version: '1.2.3',
    compatible: ['board-1'],
    rollbackIndex: 4,
    minimumAgent: undefined,
    agentVersion: undefined,
    partitions,
    outputDirectory: join(folder, 'image'),
    refName: 'v1',
    frameSizeBytes: 64 * 1024,
    level: 3,
    ...change,
  };
  return { ...(await buildImage(input)), layout: input.outputDirectory };
}

/** The layout as a source of images. */
export function layoutSource(layout: string, refName?: string): LayoutImageSource {
  return new LayoutImageSource({ kind: 'layout', path: layout, refName }, platform);
}

const ports = () => ({
  credentials: async () => ({ kind: 'none' }) as const,
  clock: new EagerClock(),
  random: new SeededRandom(),
  limits: defaultTransferLimits,
});

/** A registry over plain HTTP as a source of images. */
export function registrySource(host: string): RegistryImageSource {
  return new RegistryImageSource({ ...ports(), registries: { [host]: { insecureHttp: true } }, platform });
}

/** Pushes to one repository of a registry over plain HTTP. */
export function pusherFor(host: string, name: string): RegistryPusher {
  return new RegistryPusher({ registry: host, name }, { insecureHttp: true }, ports());
}
