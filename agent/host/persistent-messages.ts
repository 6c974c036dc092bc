import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { PersistentMessages } from '../core/ports.ts';

const limitBytes = 4096;

/**
 * The kernel's persistent messages (Documentation/admin-guide/ramoops.rst: PMSG), which the next boot finds in pstore. Only
 * nodes with ramoops have them.
 */
export class PstoreMessages implements PersistentMessages {
  readonly #path: string;

  constructor(path = '/dev/pmsg0') {
    this.#path = path;
  }

  async write(text: string): Promise<boolean> {
    try {
      // Never made: a file of that name in place of the device would be lost with the boot.
      const handle = await open(this.#path, constants.O_WRONLY);
      try {
        await handle.write(Buffer.from(text, 'utf8').subarray(0, limitBytes));
        return true;
      } finally {
        await handle.close();
      }
    } catch {
      // Most nodes have no such device: `false` is the answer that the port promises for it.
      return false;
    }
  }
}
