import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { readFrames, readIndexHead } from '../../partitions/block-index/read-index.ts';
import { FrameTable } from '../../partitions/frame-table.ts';
import { buildRegions, oldBlocksOf } from '../../partitions/patch/build-patch.ts';
import { encodePatchHead, type PlacelessRegion } from '../../partitions/patch/encode-head.ts';
import { AgentError } from '../core/errors.ts';
import type { PartitionLayer } from '../core/image-format/image-config.ts';
import type { ByteRange, ImageSource, PatchOffer, ResolvedImage } from '../core/ports.ts';
import type { BlobContent } from '../oci/registry-pusher.ts';
import type { ContentFile } from './content-file.ts';

/** A patch layer that lies in a file, apart from its head. */
export interface BuiltPatch {
  readonly offer: PatchOffer;
  readonly content: BlobContent;
  /** What the frames that it gives take in the image's layer. */
  readonly insteadOfBytes: number;
}

/** A resolved image of a source. */
export interface SourcedImage {
  readonly source: ImageSource;
  readonly image: ResolvedImage;
}

/**
 * The patch of one partition between two contents, its payloads in the new file `path`; `undefined` where nothing becomes
 * smaller by it. Rejects with `usage-invalid` where the newer partition has no block index, and with the codes of its
 * source and of block indexes.
 */
export async function buildPatchLayer(
  { source, image }: SourcedImage,
  layer: PartitionLayer,
  older: ContentFile,
  newer: ContentFile,
  path: string,
  level: number,
  signal: AbortSignal,
): Promise<BuiltPatch | undefined> {
  const { index } = layer;
  if (index === undefined) {
    throw new AgentError('usage-invalid', `cannot make a patch: partition ${layer.name} has no block index`);
  }
  const bytes = (ranges: readonly ByteRange[]) =>
    source.openLayer(image, { digest: index.layerDigest, sizeBytes: index.layerSizeBytes }, signal, ranges);
  const head = await readIndexHead(index, layer.contentSizeBytes, bytes);
  const table = await FrameTable.read(readFrames(head, bytes), head);
  const regions: PlacelessRegion[] = [];
  let insteadOfBytes = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    const contents = { oldSizeBytes: older.sizeBytes, readOld: older.read, readNew: newer.read };
    for await (const { payload, layerBytes, ...region } of buildRegions({ ...contents, head, table, level })) {
      signal.throwIfAborted();
      await file.appendFile(payload);
      regions.push(region);
      insteadOfBytes += layerBytes;
    }
  } finally {
    await file.close();
  }
  if (regions.length === 0) return undefined;
  const totals = { contentSizeBytes: table.contentSizeBytes, frameCount: table.count };
  const patchHead = encodePatchHead({ ...totals, blockCount: oldBlocksOf(older.sizeBytes) }, regions);
  return { ...(await describe(layer.name, patchHead, path)), insteadOfBytes };
}

async function describe(partition: string, head: Uint8Array, path: string) {
  const content = async function* (): AsyncGenerator<Uint8Array> {
    yield head;
    yield* createReadStream(path) as AsyncIterable<Buffer>;
  };
  const hash = createHash('sha256');
  let layerSizeBytes = 0;
  for await (const piece of content()) {
    hash.update(piece);
    layerSizeBytes += piece.byteLength;
  }
  const layerDigest = `sha256:${hash.digest('hex')}`;
  return { offer: { partition, layerDigest, layerSizeBytes, headSizeBytes: head.byteLength }, content };
}
