import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { manifestLimits, mediaTypes, parseJson, parseShape } from '../core/image-format/manifest.ts';
import { blobPath, Layout, refNameAnnotation } from './layout.ts';
import { DirectoryFiles } from './layout-files.ts';

/** A stored blob. */
export interface StoredBlob {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** Entries keep the fields that other tools gave them. */
const indexSchema = z.object({
  manifests: z.array(z.looseObject({ annotations: z.record(z.string(), z.string()).optional() })),
});

type RawEntry = z.infer<typeof indexSchema>['manifests'][number];

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Writes an OCI layout directory, anew or beside what it holds. Blobs get their names when they are whole and on disk;
 * `index.json` is replaced last and whole, so that a layout never names what it lacks.
 */
export class LayoutWriter {
  readonly #directory: string;
  #entries: readonly RawEntry[];

  private constructor(directory: string, entries: readonly RawEntry[]) {
    this.#directory = directory;
    this.#entries = entries;
  }

  /** Opens `directory`, and makes it where it is missing. Rejects with `archive-invalid` when it holds another thing. */
  static async open(directory: string): Promise<LayoutWriter> {
    await mkdir(join(directory, 'blobs', 'sha256'), { recursive: true });
    const layout = new Layout(new DirectoryFiles(directory));
    const index = await layout.read('index.json', manifestLimits.manifestBytes);
    const isNew = index === undefined;
    if (!isNew) await layout.entries();
    const entries = isNew
      ? []
      : parseShape(indexSchema, parseJson(index, 'index.json', manifestLimits.manifestBytes), 'index.json').manifests;
    const writer = new LayoutWriter(directory, entries);
    if (isNew) await writer.#place('oci-layout', [Buffer.from('{"imageLayoutVersion":"1.0.0"}')]);
    return writer;
  }

  /** Stores a blob; durable when it resolves. */
  async writeBlob(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<StoredBlob> {
    const isWhole = content instanceof Uint8Array;
    const hash = createHash('sha256');
    let sizeBytes = 0;
    const counted = async function* () {
      for await (const piece of isWhole ? [content] : content) {
        hash.update(piece);
        sizeBytes += piece.byteLength;
        yield piece;
      }
    };
    const digest = () => `sha256:${hash.digest('hex')}`;
    let stored = '';
    await this.#place(() => blobPath((stored = digest())), counted());
    return { digest: stored, sizeBytes };
  }

  /** Stores a manifest or index and names it; an entry of the same name is replaced. Durable when it resolves. */
  async putManifest(bytes: Uint8Array, mediaType: string, refName: string): Promise<StoredBlob> {
    const stored = await this.writeBlob(bytes);
    const annotations = { [refNameAnnotation]: refName };
    const entry = { mediaType, digest: stored.digest, size: stored.sizeBytes, annotations };
    this.#entries = [...this.#entries.filter((other) => other.annotations?.[refNameAnnotation] !== refName), entry];
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: this.#entries };
    await this.#place('index.json', [Buffer.from(JSON.stringify(index))]);
    return stored;
  }

  /** Writes a temporary file, flushes it, and gives it its name; the name may depend on the content. */
  async #place(
    path: string | (() => string),
    content: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const temporary = join(this.#directory, 'blobs', `.partial-${randomUUID()}`);
    try {
      const file = await open(temporary, 'wx', 0o644);
      try {
        for await (const piece of content) await file.appendFile(piece);
        await file.sync();
      } finally {
        await file.close();
      }
      const target = join(this.#directory, typeof path === 'string' ? path : path());
      await rename(temporary, target);
      await syncDirectory(dirname(target));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}
