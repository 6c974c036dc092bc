/** Stable codes of this folder; messages may change, codes may not. */
export type BootloaderErrorCode =
  /** The stored environment cannot be parsed, or lacks a variable that the loader needs. */
  | 'boot-env-corrupt'
  /** The environment is absent, or cannot be opened or read. */
  | 'boot-env-unreadable'
  /** The environment could not be written, or reads back differently. */
  | 'boot-env-write-failed'
  /** The file system that the environment or the entries are on is mounted read-only. */
  | 'boot-partition-read-only'
  /** The change would leave the node without a slot that is known to boot. */
  | 'boot-fallback-missing'
  /** What a slot is started from is not on the loader's partition, or not whole. */
  | 'boot-payload-missing'
  /** The firmware has no boot entry of a slot, or more than one. */
  | 'boot-entry-missing'
  /** The reboot was to start a trial, and the loader knows of none. */
  | 'boot-not-armed'
  /** The configured loader or the asked number of tries is not supported. */
  | 'bootloader-unsupported';

/** An error of a boot loader, with a stable code and machine-readable details. */
export class BootloaderError extends Error {
  readonly code: BootloaderErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: BootloaderErrorCode,
    message: string,
    options: { details?: Readonly<Record<string, unknown>>; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'BootloaderError';
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** The code of a write that failed: a kernel makes a FAT read-only that it found damaged, which has a fix of its own. */
export function writeFailureCode(cause: unknown): 'boot-partition-read-only' | 'boot-env-write-failed' {
  const isReadOnly = cause instanceof Error && 'code' in cause && cause.code === 'EROFS';
  return isReadOnly ? 'boot-partition-read-only' : 'boot-env-write-failed';
}
