/** What a boot partition has left, in whole clusters. */
export interface FreeRoom {
  readonly freeBytes: number;
  /** Each file takes whole ones of these. */
  readonly clusterBytes: number;
}

/**
 * The partition that a loader reads kernels from: the root of a FAT file system. Paths are relative to it, with `/`
 * between the names. FAT has no journal: names and contents reach the disk apart and in any order until they are synced.
 * Everything rejects with `boot-partition-failed`.
 */
export interface PayloadDirectory {
  /** The files in a folder; none when there is no such folder. */
  files(folder: string): Promise<readonly { readonly name: string; readonly sizeBytes: number }[]>;
  room(): Promise<FreeRoom>;
  /** Makes a folder and those above it where they are missing; durable when it resolves. */
  makeFolder(path: string): Promise<void>;
  /** Writes a file under a name that is not there yet. Its contents are durable when it resolves, its name is not. */
  write(path: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** A file's bytes, from the device itself where that is possible. */
  content(path: string): AsyncIterable<Uint8Array>;
  /** Gives a file a name that is not there yet. Its contents are durable under the new name once that is. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, or nothing when there is none. */
  remove(path: string): Promise<void>;
  /** Makes durable the names of a folder, and what was written into it. */
  sync(folder: string): Promise<void>;
}
