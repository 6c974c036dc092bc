import type { Deployment, LayerSource, PatchOffer } from '../core/ports.ts';
import type { SlotName } from '../core/update-state.ts';
import type { JudgedImage } from './judge-image.ts';

/**
 * The patches from the image in the booted slot to the judged one, for its partitions. They only spare bytes: what fails
 * is told to `onFault`, and the update goes on without. A slot that nobody recorded has none. Rejects with the signal's
 * reason.
 */
export async function findPatches(
  { node, source, signed, trusted }: Pick<JudgedImage, 'node' | 'source' | 'signed' | 'trusted'>,
  deployments: Readonly<Partial<Record<SlotName, Deployment>>>,
  signal: AbortSignal,
  onFault: (error: unknown) => void,
): Promise<readonly PatchOffer[]> {
  const base = deployments[node.booted]?.digest;
  const indexed = trusted.partitions.filter(({ index }) => index !== undefined);
  if (base === undefined || indexed.length === 0) return [];
  try {
    const found = await source.patches(signed.image, base, signal);
    return found.filter(({ partition, layerSizeBytes }) =>
      indexed.some((one) => one.name === partition && layerSizeBytes < one.layerSizeBytes),
    );
  } catch (error) {
    signal.throwIfAborted();
    onFault(error);
    return [];
  }
}

/** The size of each layer of the judged image and of `patches`, by its digest. */
export function layerSizes(
  { trusted }: Pick<JudgedImage, 'trusted'>,
  patches: readonly PatchOffer[],
): ReadonlyMap<string, number> {
  const { partitions, boot } = trusted;
  const indexes = partitions.flatMap(({ index }) => (index === undefined ? [] : [index]));
  // What is signed comes last: a patch must not give another size to one of its layers.
  const layers = [...patches, ...partitions, ...indexes, ...(boot?.payloads ?? [])];
  return new Map(layers.map(({ layerDigest, layerSizeBytes }) => [layerDigest, layerSizeBytes]));
}

/** The layers of the judged image and of `patches`, by their digests. */
export function layersOf(
  { source, signed, trusted }: Pick<JudgedImage, 'source' | 'signed' | 'trusted'>,
  patches: readonly PatchOffer[],
  signal: AbortSignal,
): LayerSource {
  const sizes = layerSizes({ trusted }, patches);
  return (digest, ranges) =>
    source.openLayer(signed.image, { digest, sizeBytes: sizes.get(digest) ?? 0 }, signal, ranges);
}
