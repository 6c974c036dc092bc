import { AgentError } from '../../agent/core/errors.ts';
import type { IndexCache, IndexDraft, IndexSizes, KeptIndex } from '../../agent/core/index-cache.ts';
import type { SlotName } from '../../agent/core/update-state.ts';

interface Kept {
  readonly sizes: IndexSizes;
  readonly bytes: Uint8Array;
}

function open({ sizes, bytes }: Kept): KeptIndex {
  return {
    sizes,
    read: async (offset, sizeBytes) => {
      checkRange(bytes, offset, sizeBytes);
      return bytes.slice(offset, offset + sizeBytes);
    },
    close: async () => undefined,
  };
}

function checkRange(bytes: Uint8Array, offset: number, sizeBytes: number): void {
  if (offset >= 0 && offset + sizeBytes <= bytes.byteLength) return;
  throw new AgentError('journal-failed', 'cannot use the kept block index: the range is not in it');
}

/** Block indexes in memory that outlive the agents that use them. */
export class MemoryIndexCache implements IndexCache {
  readonly #limitBytes: number;
  readonly #kept = new Map<string, Kept>();

  constructor(limitBytes = 2 ** 20) {
    this.#limitBytes = limitBytes;
  }

  async open(slot: SlotName, partition: string): Promise<KeptIndex | undefined> {
    const kept = this.#kept.get(`${slot} ${partition}`);
    return kept && open(kept);
  }

  async begin(slot: SlotName, partition: string, sizes: IndexSizes): Promise<IndexDraft> {
    if (sizes.layerSizeBytes > this.#limitBytes || sizes.headSizeBytes > sizes.layerSizeBytes) {
      throw new AgentError('journal-failed', `cannot keep a block index of ${sizes.layerSizeBytes} bytes`);
    }
    const bytes = new Uint8Array(sizes.layerSizeBytes);
    return {
      read: async (offset, sizeBytes) => open({ sizes, bytes }).read(offset, sizeBytes),
      write: async (offset, part) => {
        checkRange(bytes, offset, part.byteLength);
        bytes.set(part, offset);
      },
      commit: async () => {
        this.#kept.set(`${slot} ${partition}`, { sizes, bytes: bytes.slice() });
      },
      discard: async () => undefined,
    };
  }

  async remove(slot: SlotName): Promise<void> {
    for (const key of this.#kept.keys()) if (key.startsWith(`${slot} `)) this.#kept.delete(key);
  }
}
