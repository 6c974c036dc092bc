/** A whole disk, of which a few regions are read and written in place. The real one is a block device or an image of it. */
export interface DiskRegions {
  readonly sizeBytes: number;
  /** The logical block: 512 or 4096 bytes. */
  readonly blockBytes: number;
  /** Reads `length` bytes at `offset`. Rejects with `boot-env-unreadable`. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Overwrites `bytes` at `offset`; durable only after `sync`. Rejects with `boot-env-write-failed`. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Makes all earlier writes durable. Rejects with `boot-env-write-failed`. */
  sync(): Promise<void>;
  /** Runs `change` while no other process of ours can change the disk's tables. */
  locked<T>(change: () => Promise<T>): Promise<T>;
}
