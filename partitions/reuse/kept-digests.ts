/**
 * The digests of a slot's blocks as they lie in the cache of indexes, in the place of an index layer:
 *
 *      0   8   magic "kaondgs1": the digit is the version
 *      8   8   0
 *     16  16 for each block: its digest, as `digestBlocks` gives it
 */
import { digestBytes } from '../block-index/layout.ts';
import type { DigestDraft, DigestList, DigestLists } from './digest-list.ts';

const magic = Buffer.from('kaondgs1');
const headSizeBytes = 16;
const pieceBlocks = 16 * 1024;

/** What is kept under a name. */
export interface KeptBytes {
  readonly sizes: { readonly headSizeBytes: number; readonly layerSizeBytes: number };
  /** Exactly `sizeBytes` from `offset` on. */
  read(offset: number, sizeBytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** What is put together to be kept; `commit` or `discard` ends it. */
export interface BytesDraft {
  read(offset: number, sizeBytes: number): Promise<Uint8Array>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  commit(): Promise<void>;
  discard(): Promise<void>;
}

/** The part of the agent's cache of indexes that is used here; see `IndexCache` there. */
export interface BytesCache {
  open(slot: 'a' | 'b', partition: string): Promise<KeptBytes | undefined>;
  begin(slot: 'a' | 'b', partition: string, sizes: KeptBytes['sizes']): Promise<BytesDraft>;
}

/** Lists of digests in a cache of indexes. Rejects with the errors of the cache. */
export class KeptDigests implements DigestLists {
  readonly #cache: BytesCache;

  constructor(cache: BytesCache) {
    this.#cache = cache;
  }

  async find(slot: 'a' | 'b', partition: string): Promise<DigestList | undefined> {
    const kept = await this.#cache.open(slot, partition);
    if (kept === undefined) return undefined;
    const blockCount = (kept.sizes.layerSizeBytes - headSizeBytes) / digestBytes;
    const isList = kept.sizes.headSizeBytes === headSizeBytes && Number.isInteger(blockCount);
    if (isList && magic.equals(await kept.read(0, magic.byteLength))) {
      return { blockCount, read: readerOf(kept), close: () => kept.close() };
    }
    await kept.close();
    return undefined;
  }

  async create(slot: 'a' | 'b', partition: string, blockCount: number): Promise<DigestDraft> {
    const layerSizeBytes = headSizeBytes + blockCount * digestBytes;
    const draft = await this.#cache.begin(slot, partition, { headSizeBytes, layerSizeBytes });
    await draft.write(0, magic);
    let isKept = false;
    return {
      blockCount,
      read: readerOf(draft),
      write: (firstBlock, digests) => draft.write(headSizeBytes + firstBlock * digestBytes, digests),
      keep: async () => {
        isKept = true;
        await draft.commit();
      },
      close: async () => {
        if (!isKept) await draft.discard();
      },
    };
  }
}

function readerOf(bytes: Pick<KeptBytes, 'read'>): DigestList['read'] {
  return async function* (firstBlock, blockCount) {
    for (let at = firstBlock; at < firstBlock + blockCount; at += pieceBlocks) {
      const count = Math.min(pieceBlocks, firstBlock + blockCount - at);
      yield await bytes.read(headSizeBytes + at * digestBytes, count * digestBytes);
    }
  };
}
