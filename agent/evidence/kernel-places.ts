import { join } from 'node:path';
import type { EvidenceSources } from './boot-evidence.ts';

/** Where a kernel and systemd-pstore leave what outlives a boot, below `root`: of the machine itself `/`. */
export function kernelPlaces(
  root: string,
): Pick<EvidenceSources, 'pstoreDirectories' | 'pstoreBackendFile' | 'watchdogDirectory'> {
  return {
    pstoreDirectories: [join(root, 'sys/fs/pstore'), join(root, 'var/lib/systemd/pstore')],
    pstoreBackendFile: join(root, 'sys/module/pstore/parameters/backend'),
    watchdogDirectory: join(root, 'sys/class/watchdog'),
  };
}
