import { readFile } from 'node:fs/promises';
import { BootloaderError } from './errors.ts';

/** What the firmware and the kernel tell of the boot that runs, as the bytes that they give. */
export interface TrybootFacts {
  /** `chosen/bootloader/tryboot` of the device tree; `undefined` where there is none. */
  tryboot(): Promise<Uint8Array | undefined>;
  /** `chosen/bootloader/partition` of the device tree; `undefined` where there is none. */
  partition(): Promise<Uint8Array | undefined>;
  /** `/proc/sys/kernel/random/boot_id`. Rejects with `boot-env-unreadable`. */
  bootId(): Promise<Uint8Array>;
}

/** The facts under `/proc`. */
export class ProcTrybootFacts implements TrybootFacts {
  readonly #proc: string;

  constructor(proc = '/proc') {
    this.#proc = proc;
  }

  async tryboot(): Promise<Uint8Array | undefined> {
    return this.#property('tryboot');
  }

  async partition(): Promise<Uint8Array | undefined> {
    return this.#property('partition');
  }

  async bootId(): Promise<Uint8Array> {
    return this.#read('sys/kernel/random/boot_id');
  }

  async #property(name: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#read(`device-tree/chosen/bootloader/${name}`);
    } catch (error) {
      if (error instanceof BootloaderError && isCode(error.cause, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async #read(name: string): Promise<Uint8Array> {
    const path = `${this.#proc}/${name}`;
    try {
      return await readFile(path);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new BootloaderError('boot-env-unreadable', `cannot read ${path}: ${reason}`, { details: { path }, cause });
    }
  }
}

/** The number in a cell of the device tree. Throws `boot-env-unreadable` unless it is one cell. */
export function parseCell(bytes: Uint8Array): number {
  if (bytes.byteLength !== 4) {
    throw new BootloaderError(
      'boot-env-unreadable',
      `cannot read the firmware's device tree: a cell has ${bytes.byteLength} bytes, want 4`,
    );
  }
  return Buffer.from(bytes).readUInt32BE(0);
}

/** The first eight digits of a boot's id. Throws `boot-env-unreadable` unless it is one. */
export function parseBootId(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('latin1').trim();
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)) {
    throw new BootloaderError('boot-env-unreadable', `cannot read the id of this boot: it is ${JSON.stringify(text)}`);
  }
  return text.slice(0, 8);
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
