import { type FileHandle, open } from 'node:fs/promises';
import { decodeLayer } from '../../partitions/frames/decode-layer.ts';
import { isZero } from '../../partitions/frames/frame-tasks.ts';
import { DigestMeter } from '../../partitions/layer-check.ts';
import { AgentError } from '../core/errors.ts';
import type { PartitionLayer } from '../core/image-format/image-config.ts';
import type { ImageSource, ResolvedImage } from '../core/ports.ts';

/** A partition's content in a file of its own. */
export interface ContentFile {
  readonly sizeBytes: number;
  /** Fills all of `into`. */
  readonly read: (into: Uint8Array, offset: number) => Promise<void>;
  close(): Promise<void>;
}

/**
 * Fetches a layer and puts its content into the new file `path`, zeros as holes. Rejects with `digest-mismatch` where it
 * is not what the config states, and with the codes of the source and of layers.
 */
export async function fetchContent(
  source: ImageSource,
  image: ResolvedImage,
  layer: PartitionLayer,
  path: string,
  signal: AbortSignal,
): Promise<ContentFile> {
  const file = await open(path, 'wx+', 0o600);
  try {
    const meter = new DigestMeter(layer.contentDigest);
    const bytes = source.openLayer(image, { digest: layer.layerDigest, sizeBytes: layer.layerSizeBytes }, signal);
    for await (const piece of decodeLayer(layer.encoding, bytes)) {
      if (!isZero(piece)) await writeAll(file, piece, meter.sizeBytes);
      meter.update(piece);
    }
    await file.truncate(meter.sizeBytes);
    const digest = meter.digest();
    if (layer.contentDigest !== undefined && digest !== layer.contentDigest) {
      throw new AgentError(
        'digest-mismatch',
        `cannot use partition ${layer.name} of ${image.manifestDigest}: its content has ${digest}`,
      );
    }
    return {
      sizeBytes: meter.sizeBytes,
      read: (into, offset) => readAll(file, into, offset),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    at += (await file.write(bytes, at, bytes.byteLength - at, offset + at)).bytesWritten;
  }
}

async function readAll(file: FileHandle, into: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < into.byteLength;) {
    const { bytesRead } = await file.read(into, at, into.byteLength - at, offset + at);
    if (bytesRead === 0)
      throw new Error(`internal: cannot read ${into.byteLength} bytes at ${offset}: the file is shorter`);
    at += bytesRead;
  }
}
