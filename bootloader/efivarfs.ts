import { constants } from 'node:fs';
import { open, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { EfiVariables } from './efi-variable-store.ts';
import { BootloaderError, type BootloaderErrorCode } from './errors.ts';
import { ProcessLock } from './process-lock.ts';

/** Runs a program with no shell. `exitCode` is `undefined` when it could not be started or was killed. */
export interface CommandRunner {
  run(
    argv: readonly string[],
    signal: AbortSignal,
  ): Promise<{ readonly exitCode: number | undefined; readonly output: string }>;
}

const commandTimeoutMs = 10_000;

/** The variables under /sys/firmware/efi/efivars. */
export class Efivarfs implements EfiVariables {
  readonly #commands: CommandRunner;
  readonly #folder: string;
  readonly #lock: ProcessLock;

  /** `lockPath` is where processes of ours keep each other out; it need not survive a boot. */
  constructor(commands: CommandRunner, lockPath: string, folder = '/sys/firmware/efi/efivars') {
    this.#commands = commands;
    this.#folder = folder;
    this.#lock = new ProcessLock(lockPath);
  }

  async list(guid: string): Promise<readonly string[]> {
    return attempt('boot-env-unreadable', 'list', 'EFI variables', async () => {
      const ending = `-${guid}`;
      const names = await readdir(this.#folder);
      return names.filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length));
    });
  }

  async read(name: string, guid: string): Promise<Uint8Array | undefined> {
    return attempt('boot-env-unreadable', 'read', name, () =>
      readFile(this.#path(name, guid)).catch((error: unknown) => {
        if (isCode(error, 'ENOENT')) return undefined;
        throw error;
      }),
    );
  }

  async write(name: string, guid: string, bytes: Uint8Array): Promise<void> {
    await attempt('boot-env-write-failed', 'write', name, async () => {
      const path = this.#path(name, guid);
      if ((await this.read(name, guid)) !== undefined) await this.#makeMutable(path);
      const handle = await open(path, constants.O_WRONLY | constants.O_CREAT, 0o644);
      try {
        // Each write sets the whole variable, in the firmware itself: a second one would set it to the rest.
        const { bytesWritten } = await handle.write(bytes);
        if (bytesWritten !== bytes.byteLength)
          throw new Error(`only ${bytesWritten} of ${bytes.byteLength} were taken`);
      } finally {
        await handle.close();
      }
    });
  }

  async remove(name: string, guid: string): Promise<void> {
    await attempt('boot-env-write-failed', 'remove', name, async () => {
      if ((await this.read(name, guid)) === undefined) return;
      const path = this.#path(name, guid);
      await this.#makeMutable(path);
      await unlink(path);
    });
  }

  async locked<T>(change: () => Promise<T>): Promise<T> {
    return this.#lock.locked(change);
  }

  #path(name: string, guid: string): string {
    return join(this.#folder, `${name}-${guid}`);
  }

  /** The kernel guards variables with the immutable flag, and Node has no ioctl to clear it. */
  async #makeMutable(path: string): Promise<void> {
    const { exitCode, output } = await this.#commands.run(
      ['chattr', '-i', path],
      AbortSignal.timeout(commandTimeoutMs),
    );
    if (exitCode !== 0) throw new Error(`chattr -i failed with ${exitCode ?? 'no exit code'}: ${output.trim()}`);
  }
}

async function attempt<T>(code: BootloaderErrorCode, verb: string, name: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BootloaderError(code, `cannot ${verb} ${name} in efivarfs: ${reason}`, { details: { name }, cause });
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
