import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import { parseImageConfig, type PartitionLayer, partitionLayers } from '../core/image-format/image-config.ts';
import { mediaTypes, parseManifest } from '../core/image-format/manifest.ts';
import { emptyConfig, encodePatchManifest, patchBaseAnnotation } from '../core/image-format/patch-manifest.ts';
import type { ResolvedImage } from '../core/ports.ts';
import { fetchContent } from './content-file.ts';
import { type BuiltPatch, buildPatchLayer, type SourcedImage } from './patch-layer.ts';
import { blobOf, type ReferrerTarget } from './patch-target.ts';

/** A patch beside an image. */
export interface PublishedPatch {
  /** Digest of the patch's manifest; `undefined` where nothing becomes smaller by a patch, and none was published. */
  readonly digest: string | undefined;
  readonly base: string;
  readonly subject: string;
  readonly partitions: readonly {
    readonly name: string;
    readonly patchBytes: number;
    /** What the same frames take in the image's layer. */
    readonly insteadOfBytes: number;
  }[];
}

/**
 * Makes a patch from `older` to `newer` of each partition that both have, and puts it beside the newer image. The same
 * images give the same patch, with the same zstd. Both contents lie in a temporary directory meanwhile; for memory, see
 * `buildRegions`. Rejects with `usage-invalid` for equal images, or where they share no partition, or one has no block
 * index; with the codes of the sources and of the target.
 */
export async function patchImage(
  older: SourcedImage,
  newer: SourcedImage,
  target: ReferrerTarget,
  level: number,
  signal: AbortSignal,
): Promise<PublishedPatch> {
  const base = older.image.manifestDigest;
  const subject = newer.image.manifestDigest;
  if (base === subject) throw new AgentError('usage-invalid', `cannot make a patch: both images are ${base}`);
  const pairs = pairsOf(layersOf(older.image), layersOf(newer.image));
  const folder = await mkdtemp(join(tmpdir(), 'kaon-patch-'));
  try {
    const built: BuiltPatch[] = [];
    for (const [from, to] of pairs) {
      const patch = await buildOf(older, newer, from, to, folder, level, signal);
      if (patch !== undefined) built.push(patch);
    }
    const digest = built.length === 0 ? undefined : await publish(base, newer.image, built, target);
    const partitions = built.map(({ offer, insteadOfBytes }) => {
      return { name: offer.partition, patchBytes: offer.layerSizeBytes, insteadOfBytes };
    });
    return { digest, base, subject, partitions };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function layersOf({ manifestBytes, configBytes }: ResolvedImage): readonly PartitionLayer[] {
  return partitionLayers(parseManifest(manifestBytes), parseImageConfig(configBytes));
}

type Pair = readonly [older: PartitionLayer, newer: PartitionLayer];

/** The partitions that both have and that differ. */
function pairsOf(older: readonly PartitionLayer[], newer: readonly PartitionLayer[]): readonly Pair[] {
  const pairs = newer.flatMap((to): readonly Pair[] => {
    const from = older.find(({ name }) => name === to.name);
    return from === undefined ? [] : [[from, to]];
  });
  if (pairs.length === 0) {
    throw new AgentError('usage-invalid', 'cannot make a patch: the images have no partition of the same name');
  }
  return pairs.filter(([from, to]) => from.contentDigest === undefined || from.contentDigest !== to.contentDigest);
}

async function buildOf(
  older: SourcedImage,
  newer: SourcedImage,
  from: PartitionLayer,
  to: PartitionLayer,
  folder: string,
  level: number,
  signal: AbortSignal,
): Promise<BuiltPatch | undefined> {
  const path = (what: string) => join(folder, `${to.name}.${what}`);
  const before = await fetchContent(older.source, older.image, from, path('old'), signal);
  try {
    const after = await fetchContent(newer.source, newer.image, to, path('new'), signal);
    try {
      return await buildPatchLayer(newer, to, before, after, path('patch'), level, signal);
    } finally {
      await after.close();
      await rm(path('new'));
    }
  } finally {
    await before.close();
    await rm(path('old'));
  }
}

/** Blobs before the manifest that names them. */
async function publish(
  base: string,
  { manifestBytes, manifestDigest }: ResolvedImage,
  built: readonly BuiltPatch[],
  target: ReferrerTarget,
): Promise<string> {
  for (const { content, offer } of built) {
    await target.putBlob(content, { digest: offer.layerDigest, sizeBytes: offer.layerSizeBytes });
  }
  const config = async function* (): AsyncGenerator<Uint8Array> {
    yield emptyConfig;
  };
  await target.putBlob(config, blobOf(emptyConfig));
  const bytes = encodePatchManifest(
    base,
    manifestBytes,
    built.map(({ offer }) => offer),
  );
  const stored = blobOf(bytes);
  const annotations = { [patchBaseAnnotation]: base };
  const referrer = { mediaType: mediaTypes.ociManifest, artifactType: mediaTypes.kaonPatches, annotations };
  await target.putReferrer(bytes, { ...referrer, ...stored }, manifestDigest);
  return stored.digest;
}
