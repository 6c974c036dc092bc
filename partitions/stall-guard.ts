import type { BlockDevice } from './block-device.ts';
import { PartitionError } from './errors.ts';

/** Time as the writer needs it. */
export interface WriterClock {
  /** Milliseconds since some fixed point; never goes back. */
  monotonicMs(): number;
  /** Resolves after `durationMs`; rejects when the signal is aborted first. */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
}

/** How often a device that has work is looked at, within its limit. */
const looksPerLimit = 8;

/**
 * Tells a slow device from a dead one. Each request that ends is progress, however long it took; a device that has
 * requests and ends none for `limitMs` rejects them and all that come with `slot-write-stalled`. What the kernel still
 * holds of them is then not waited for: their buffers must not be used again, and the device is closed when they end.
 */
export class StallGuardedDevice implements BlockDevice {
  readonly #name: string;
  readonly #device: BlockDevice;
  readonly #clock: WriterClock;
  readonly #limitMs: number;
  readonly #rejecters = new Set<(error: PartitionError) => void>();
  readonly #ended = new AbortController();
  #progressMs: number;
  #stall: PartitionError | undefined;

  constructor(name: string, device: BlockDevice, clock: WriterClock, limitMs: number) {
    this.#name = name;
    this.#device = device;
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#progressMs = clock.monotonicMs();
    void this.#watch();
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

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#guard(() => this.#device.write(bytes, offset));
  }

  read(into: Uint8Array, offset: number): Promise<void> {
    return this.#guard(() => this.#device.read(into, offset));
  }

  zero(offset: number, sizeBytes: number): Promise<void> {
    return this.#guard(() => this.#device.zero(offset, sizeBytes));
  }

  flush(): Promise<void> {
    return this.#guard(() => this.#device.flush());
  }

  async close(): Promise<void> {
    this.#ended.abort();
    const closed = this.#device.close();
    // A dead device keeps its requests: its handle closes by itself once they end, and until then it is busy.
    if (this.#stall === undefined) await closed;
    else closed.catch(() => undefined);
  }

  #guard(request: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#stall !== undefined) {
        reject(this.#stall);
        return;
      }
      // A device that rested has all of its time from now.
      if (this.#rejecters.size === 0) this.#progressMs = this.#clock.monotonicMs();
      this.#rejecters.add(reject);
      const end = () => {
        this.#progressMs = this.#clock.monotonicMs();
        this.#rejecters.delete(reject);
      };
      request().then(
        () => {
          end();
          resolve();
        },
        (error: unknown) => {
          end();
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      // Only our own end rejects a sleep.
      await this.#clock.sleep(this.#limitMs / looksPerLimit, signal).catch(() => undefined);
      if (this.#rejecters.size === 0 || this.#clock.monotonicMs() - this.#progressMs < this.#limitMs) continue;
      this.#stall = new PartitionError(
        'slot-write-stalled',
        `cannot go on with partition ${this.#name}: its device ended no request for ${this.#limitMs} ms`,
        { details: { partition: this.#name, limitMs: this.#limitMs, requests: this.#rejecters.size } },
      );
      for (const reject of this.#rejecters) reject(this.#stall);
      this.#rejecters.clear();
      return;
    }
  }
}
