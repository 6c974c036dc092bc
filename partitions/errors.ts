/** Stable codes of this folder; messages may change, codes may not. */
export type PartitionErrorCode =
  /** The device does not exist or cannot be opened. */
  | 'slot-device-unreadable'
  /** The device is mounted, held by another driver, locked, or the booted slot itself. */
  | 'slot-busy'
  /** The device is not named in the configuration, or is of a kind that is not allowed here. */
  | 'slot-device-refused'
  /** The content does not fit on the partition. */
  | 'slot-too-small'
  /** The device failed while it was written or flushed. */
  | 'slot-write-failed'
  /** What was read back from the device is not what was signed. */
  | 'slot-verify-failed'
  /** Which slot is booted cannot be told, or the kernel's word contradicts the mounted device. */
  | 'booted-slot-unknown'
  /** A layer's bytes do not have the signed digest, or its content does not have the signed digest. */
  | 'digest-mismatch'
  /** A layer ended before its signed size. */
  | 'download-truncated'
  /** A layer has more bytes, or more content, than was signed. */
  | 'layer-too-large'
  /** A layer's compressed bytes cannot be decoded. */
  | 'layer-corrupt'
  /** A block index breaks its format, or contradicts what was signed of the partition. */
  | 'block-index-invalid'
  /** A patch breaks its format, or is for another partition. */
  | 'patch-invalid'
  /** The device has a request and does nothing for too long: it may be dead, and is not waited for. */
  | 'slot-write-stalled'
  /** A worker thread of the writer ended while it had work. */
  | 'slot-worker-lost'
  /** The boot partition has no room for an image's boot payloads beside those of the other slot. */
  | 'boot-partition-full'
  /** A file of the boot partition could not be listed, read, written, renamed or flushed. */
  | 'boot-partition-failed'
  /** The boot partition was not unmounted in order, and nothing checked it since. */
  | 'boot-partition-dirty'
  /** The boot partition is mounted read-only. */
  | 'boot-partition-read-only'
  /** The boot partition could not be mounted or unmounted. */
  | 'boot-partition-unmountable';

/** An error of slots and partitions, with a stable code and machine-readable details. */
export class PartitionError extends Error {
  readonly code: PartitionErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: PartitionErrorCode,
    message: string,
    options: { details?: Readonly<Record<string, unknown>>; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'PartitionError';
    this.code = code;
    this.details = options.details ?? {};
  }
}
