import type { BlockDevice } from './block-device.ts';
import { PartitionError } from './errors.ts';

/** A device that can be read alone: what would change it rejects with `slot-device-refused`, and never reaches it. */
export class ReadOnlyDevice implements BlockDevice {
  readonly #device: BlockDevice;

  constructor(device: BlockDevice) {
    this.#device = device;
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes;
  }

  get alignmentBytes(): number {
    return this.#device.alignmentBytes;
  }

  allocate(sizeBytes: number): Uint8Array<SharedArrayBuffer> {
    return this.#device.allocate(sizeBytes);
  }

  async read(into: Uint8Array, offset: number): Promise<void> {
    await this.#device.read(into, offset);
  }

  async write(): Promise<void> {
    throw refused('write to');
  }

  async zero(): Promise<void> {
    throw refused('zero');
  }

  async flush(): Promise<void> {
    throw refused('flush');
  }

  async close(): Promise<void> {
    await this.#device.close();
  }
}

function refused(verb: string): PartitionError {
  return new PartitionError('slot-device-refused', `cannot ${verb} the device: it was opened for reading alone`);
}
