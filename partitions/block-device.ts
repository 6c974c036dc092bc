/**
 * An opened partition that may be written. Offsets and lengths are multiples of `alignmentBytes`; buffers for `write`
 * and `read` come from `allocate`, so that direct I/O works. Rejections are `PartitionError`s.
 */
export interface BlockDevice {
  readonly sizeBytes: number;
  /** 512 or 4096. */
  readonly alignmentBytes: number;
  /**
   * A buffer of at least `sizeBytes` bytes, aligned for this device, in memory that worker threads can share. It is
   * reused only by its owner.
   */
  allocate(sizeBytes: number): Uint8Array<SharedArrayBuffer>;
  /** Writes all of `bytes` at `offset`, or rejects with `slot-write-failed`. Durable only after `flush`. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Fills all of `into` from `offset`, from the device and not from a cache. Rejects with `slot-write-failed`. */
  read(into: Uint8Array, offset: number): Promise<void>;
  /** Zeroes a range the cheapest way the device has. Durable only after `flush`. */
  zero(offset: number, sizeBytes: number): Promise<void>;
  /** Resolves when every earlier write is on stable storage. Rejects with `slot-write-failed`. */
  flush(): Promise<void>;
  /** Closes the device; later calls reject. */
  close(): Promise<void>;
}

/** One partition of a slot, as configured. */
export interface PartitionConfig {
  /** Path of the block device, or of the file. */
  readonly device: string;
  /** `file` is for the demo and tests, refused for root without a flag. */
  readonly kind: 'block' | 'file';
  /** `true`: an image leaves this partition as it is. */
  readonly keep: boolean;
}

/** Opens partitions of slots for exclusive writing, or says why not. */
export interface SlotDevices {
  /**
   * Opens `partition` of `slot`. Rejects with `slot-device-refused` (not configured), `slot-busy` (booted slot,
   * mounted, held, or already open) or `slot-device-unreadable`.
   */
  open(slot: 'a' | 'b', partition: string): Promise<BlockDevice>;
  /**
   * Opens `partition` of the booted slot for reading, beside its mount; what would write rejects. Rejects with
   * `slot-device-refused`, also where no slot is known to be booted, or `slot-device-unreadable`.
   */
  openBooted(partition: string): Promise<BlockDevice>;
  /** The partitions that an image has to cover (all but those marked `keep`), with their sizes. */
  sizes(slot: 'a' | 'b'): Promise<ReadonlyMap<string, number>>;
}
