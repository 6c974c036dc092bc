import { blockBytes } from './shared-arena.ts';

/**
 * Blocks of which a piece of content has a part only: they are put together here, in any order, until they are whole.
 * At most two blocks for each piece under way.
 */
export class EdgeBlocks {
  readonly #blocks = new Map<number, { readonly bytes: Uint8Array; filledBytes: number }>();

  /** Takes `bytes` of the block `index`, from `at` in it; returns the block once it is whole. */
  add(index: number, at: number, bytes: Uint8Array): Uint8Array | undefined {
    const block = this.#blocks.get(index) ?? { bytes: new Uint8Array(blockBytes), filledBytes: 0 };
    this.#blocks.set(index, block);
    block.bytes.set(bytes, at);
    block.filledBytes += bytes.byteLength;
    return block.filledBytes === blockBytes ? this.take(index) : undefined;
  }

  /** Gives out the block `index`, zeros where nothing came; `undefined` when nothing of it came. */
  take(index: number): Uint8Array | undefined {
    const block = this.#blocks.get(index);
    this.#blocks.delete(index);
    return block?.bytes;
  }
}
