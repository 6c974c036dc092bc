import type { CheckpointStore, WriteCheckpoint } from '../../partitions/checkpoint.ts';

/** Checkpoints in memory that outlive the agents that use them; each change is one durable step, all or nothing. */
export class MemoryCheckpoints implements CheckpointStore {
  readonly #beforeStep: (name: string) => void;
  readonly #checkpoints = new Map<'a' | 'b', WriteCheckpoint>();

  constructor(beforeStep: (name: string) => void = () => undefined) {
    this.#beforeStep = beforeStep;
  }

  async load(slot: 'a' | 'b'): Promise<WriteCheckpoint | undefined> {
    return this.#checkpoints.get(slot);
  }

  async save(slot: 'a' | 'b', { manifestDigest, frames }: WriteCheckpoint): Promise<void> {
    this.#beforeStep(`checkpoint-save ${slot}`);
    const copies = Object.entries(frames).map(([name, bytes]) => [name, bytes.slice()] as const);
    this.#checkpoints.set(slot, { manifestDigest, frames: Object.fromEntries(copies) });
  }

  async remove(slot: 'a' | 'b'): Promise<void> {
    this.#beforeStep(`checkpoint-remove ${slot}`);
    this.#checkpoints.delete(slot);
  }
}
