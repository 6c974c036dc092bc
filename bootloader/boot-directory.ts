/**
 * Where systemd-boot finds its entries: the root of a FAT file system, the ESP or XBOOTLDR. Paths are relative to it,
 * with `/` between the names; the empty path is the root. Names compare without case.
 *
 * FAT has no journal. A new name, a removed name and a file's contents reach the disk apart and in any order until they
 * are synced: a rename that power cuts may leave the old name, the new one, both or neither, and the file empty under its
 * new name, whose first cluster and length Linux writes apart from it (`vfat_rename` in fs/fat/namei_vfat.c); a file that
 * was not synced may come back empty or torn. Hence the last copy of anything is never renamed: its successor is written
 * beside it, synced, renamed into place and synced again, and only then is the old name removed. Names that share
 * clusters after a cut are the matter of `fsck.vfat`, which has to run before the file system is mounted. What rejects
 * with `boot-env-write-failed` does so with `boot-partition-read-only` where the file system is.
 */
export interface BootDirectory {
  /** The names of the files in a folder; none when there is no such folder. Rejects with `boot-env-unreadable`. */
  list(path: string): Promise<readonly string[]>;
  /** A file's bytes. Rejects with `boot-env-unreadable`, also when it has more than `limitBytes`. */
  read(path: string, limitBytes: number): Promise<Uint8Array>;
  /** At most `lengthBytes` of a file from `offsetBytes` on; fewer, or none, where it ends before. Rejects with `boot-env-unreadable`. */
  readRange(path: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
  /** Makes a folder and those above it where they are missing; durable when it resolves. Rejects with `boot-env-write-failed`. */
  makeFolder(path: string): Promise<void>;
  /**
   * Writes what `from` has under a name that is not there yet, and reads it back from the device where that is possible.
   * Its contents are durable when it resolves, its name is not. Rejects with `boot-env-write-failed`.
   */
  copyNew(from: string, to: string): Promise<void>;
  /** Writes a file under a name that is not there yet. Rejects with `boot-env-write-failed`. */
  writeNew(path: string, bytes: Uint8Array): Promise<void>;
  /** Rejects with `boot-env-write-failed`, also when there is a file of the new name. */
  rename(from: string, to: string): Promise<void>;
  /** Renames over whatever has the new name; see above for what that is until a sync. Rejects with `boot-env-write-failed`. */
  replaceByRename(from: string, to: string): Promise<void>;
  /** Removes a file, or nothing when there is none. Rejects with `boot-env-write-failed`. */
  remove(path: string): Promise<void>;
  /**
   * Makes durable what was written, renamed and removed in a folder: each such file itself, and then the names. One that
   * somebody else has taken away since is no failure. Rejects with `boot-env-write-failed`.
   */
  sync(path: string): Promise<void>;
  /** Runs `change` while no other process of ours can change the entries. */
  locked<T>(change: () => Promise<T>): Promise<T>;
}
