/**
 * What a boot partition is used for. `plan` reads what a write would find, and changes nothing. `rescue` writes to one
 * that was not left in order, too: to keep a slot booting.
 */
export type BootAccess = 'read' | 'plan' | 'write' | 'rescue';

/** Whether the partition has to take writes. */
export function isWriting(access: BootAccess): boolean {
  return access === 'write' || access === 'rescue';
}

/** The partition that a loader reads, wherever it is mounted. */
export interface BootPartition {
  /**
   * Runs `act` while the partition is mounted, for writing where `access` says so; `root` is where. Rejects with what
   * `act` rejects with, `boot-partition-unmountable`, `boot-partition-read-only` (except for `read`), or, for `write`,
   * `boot-partition-dirty`.
   */
  use<T>(access: BootAccess, act: (root: string) => Promise<T>): Promise<T>;
}
