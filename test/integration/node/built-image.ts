import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeBench } from './node-bench.ts';

/** An image that kaonctl built and pushed to the bench's registry, signed. */
export interface BuiltImage {
  readonly reference: string;
  readonly layerDigest: string;
  readonly indexDigest: string;
}

interface Described {
  readonly digest: string;
  readonly mediaType: string;
}

/** Builds an image of `content` with a block index, as its tag says. */
export async function buildImage(bench: NodeBench, tag: string, content: Uint8Array): Promise<BuiltImage> {
  const file = join(bench.folder, `${tag}.img`);
  const layout = join(bench.folder, `${tag}.oci`);
  const reference = `${bench.registry.host}/os/edge:${tag}`;
  await writeFile(file, content);
  const what = ['--name', 'edge', '--version', tag, '--compatible', 'board-1', '--partition', `root=${file}`];
  await mustRun(bench, 'image', 'build', ...what, '--output', layout);
  await mustRun(bench, 'image', 'push', layout, reference, '--insecure-http');
  const read = async <T>(path: string) => JSON.parse(await readFile(join(layout, path), 'utf8')) as T;
  const { manifests } = await read<{ readonly manifests: readonly Described[] }>('index.json');
  const digest = manifests[0]?.digest ?? '';
  const { layers } = await read<{ readonly layers: readonly Described[] }>(`blobs/${digest.replace(':', '/')}`);
  bench.sign(digest, bench.release);
  const layerOf = (type: RegExp) => layers.find(({ mediaType }) => type.test(mediaType))?.digest ?? '';
  return { reference, layerDigest: layerOf(/partition/), indexDigest: layerOf(/block-index/) };
}

async function mustRun(bench: NodeBench, ...args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await bench.kaonctl(...args);
  if (exitCode !== 0) throw new Error(`kaonctl ${args.join(' ')} failed with ${exitCode}: ${stderr}`);
}
