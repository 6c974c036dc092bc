/**
 * Where a loader's environment lies: a fixed-size region that is only ever written in place. The real one is a file or
 * a raw region; the fake keeps unsynced sectors apart to lose or tear them. What rejects with `boot-env-write-failed`
 * does so with `boot-partition-read-only` where it lies on a file system that is.
 */
export interface EnvironmentFile {
  /** Reads the whole region. Rejects with `boot-env-unreadable`. */
  read(): Promise<Uint8Array>;
  /** Overwrites `bytes` at `offset` without truncating; durable only after `sync`. Rejects with `boot-env-write-failed`. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Makes all earlier writes durable. Rejects with `boot-env-write-failed`. */
  sync(): Promise<void>;
  /** Runs `change` while no other process of ours can change the environment. */
  locked<T>(change: () => Promise<T>): Promise<T>;
}
