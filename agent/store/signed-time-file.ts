import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import type { SignedTime } from '../core/signed-time.ts';
import { replaceFile } from './replace-file.ts';

const fileName = 'signed-time.json';
const limitBytes = 4096;

// Fields of newer versions are passed over: there is one number to keep.
const fileSchema = z.object({ formatVersion: z.number(), latestMs: z.number().min(0).max(8.64e15) });

/**
 * The latest attested time of a signature that kaon-slotd verified, in a directory that only it can write. A file that
 * can't be read counts as none: the floor is then the build's.
 */
export class SignedTimeFile implements SignedTime {
  readonly #path: string;
  #latestMs: number | undefined;

  private constructor(path: string, latestMs: number | undefined) {
    this.#path = path;
    this.#latestMs = latestMs;
  }

  /** Reads the file in `directory`. Never rejects. */
  static async open(directory: string): Promise<SignedTimeFile> {
    const path = join(directory, fileName);
    try {
      const bytes = await readFile(path);
      const latestMs =
        bytes.byteLength > limitBytes ? undefined : fileSchema.parse(JSON.parse(bytes.toString('utf8'))).latestMs;
      return new SignedTimeFile(path, latestMs);
    } catch {
      return new SignedTimeFile(path, undefined);
    }
  }

  get latestMs(): number | undefined {
    return this.#latestMs;
  }

  /** Raises the floor to `atMs`, durably; a time before it changes nothing. Rejects with `journal-failed`. */
  async raise(atMs: number): Promise<void> {
    if (this.#latestMs !== undefined && atMs <= this.#latestMs) return;
    try {
      await replaceFile(this.#path, JSON.stringify({ formatVersion: 1, latestMs: atMs }));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new AgentError('journal-failed', `cannot write ${this.#path}: ${reason}`, {
        details: { path: this.#path },
        cause,
      });
    }
    this.#latestMs = atMs;
  }
}
