import type { WrittenRecords, WrittenSlot } from '../../agent/core/ports.ts';
import type { SlotName } from '../../agent/core/update-state.ts';

/** Records in memory that outlive the agents that use them; each change is one durable step, all or nothing. */
export class MemoryWrittenRecords implements WrittenRecords {
  readonly #beforeStep: (name: string) => void;
  readonly #records = new Map<SlotName, WrittenSlot>();

  constructor(beforeStep: (name: string) => void = () => undefined) {
    this.#beforeStep = beforeStep;
  }

  async read(slot: SlotName): Promise<WrittenSlot | undefined> {
    return this.#records.get(slot);
  }

  async remove(slot: SlotName): Promise<void> {
    this.#beforeStep(`record-remove ${slot}`);
    this.#records.delete(slot);
  }

  async save(slot: SlotName, written: WrittenSlot): Promise<void> {
    this.#beforeStep(`record-save ${slot}`);
    this.#records.set(slot, written);
  }
}
