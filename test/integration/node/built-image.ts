import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A layer of an image, as its manifest has it. */
export interface BuiltLayer {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
}

/** An image that kaonctl built into an OCI layout. */
export interface BuiltImage {
  readonly layout: string;
  readonly digest: string;
  /** Those with the content of partitions. */
  readonly content: readonly BuiltLayer[];
  /** The block indexes. */
  readonly indexes: readonly BuiltLayer[];
}

/** Runs kaonctl. */
export type RunKaonctl = (
  args: readonly string[],
) => Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;

/** Runs kaonctl; rejects with what it says where it does not end with 0. */
export async function mustRun(kaonctl: RunKaonctl, ...args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await kaonctl(args);
  if (exitCode !== 0) throw new Error(`kaonctl ${args.join(' ')} failed with ${exitCode}: ${stderr}`);
}

/** Builds an image of `files`, by partition, as a publisher does. */
export async function buildImage(
  kaonctl: RunKaonctl,
  layout: string,
  { version, compatible, files }: { version: string; compatible: string; files: Readonly<Record<string, string>> },
): Promise<BuiltImage> {
  const partitions = Object.entries(files).flatMap(([name, file]) => ['--partition', `${name}=${file}`]);
  const what = ['--name', 'edge', '--version', version, '--compatible', compatible, '--level', '3', ...partitions];
  await mustRun(kaonctl, 'image', 'build', ...what, '--output', layout);
  const read = async <T>(path: string) => JSON.parse(await readFile(join(layout, path), 'utf8')) as T;
  const { manifests } = await read<{ readonly manifests: readonly BuiltLayer[] }>('index.json');
  const digest = manifests[0]?.digest ?? '';
  const { layers } = await read<{ readonly layers: readonly BuiltLayer[] }>(`blobs/${digest.replace(':', '/')}`);
  return {
    layout,
    digest,
    content: layers.filter(({ mediaType }) => mediaType.includes('.partition.')),
    indexes: layers.filter(({ mediaType }) => mediaType.includes('.block-index.')),
  };
}
