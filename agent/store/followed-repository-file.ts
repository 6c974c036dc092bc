import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import type { FollowedRepository } from '../core/followed-repository.ts';
import { parseReference } from '../core/image-format/reference.ts';
import { replaceFile } from './replace-file.ts';

const fileName = 'followed-repository.json';
const limitBytes = 4096;

const fileSchema = z.object({ formatVersion: z.number(), repository: z.string() });

/**
 * The repository that the node follows, in a directory that only kaon-slotd can write. A file that can't be read counts
 * as none: the next write then says what is followed.
 */
export class FollowedRepositoryFile implements FollowedRepository {
  readonly #path: string;
  #current: string | undefined;

  private constructor(path: string, current: string | undefined) {
    this.#path = path;
    this.#current = current;
  }

  /** Reads the file in `directory`. Never rejects. */
  static async open(directory: string): Promise<FollowedRepositoryFile> {
    const path = join(directory, fileName);
    try {
      const bytes = await readFile(path);
      if (bytes.byteLength > limitBytes) return new FollowedRepositoryFile(path, undefined);
      const { repository } = fileSchema.parse(JSON.parse(bytes.toString('utf8')));
      return new FollowedRepositoryFile(path, parseReference(repository).repository);
    } catch {
      return new FollowedRepositoryFile(path, undefined);
    }
  }

  get current(): string | undefined {
    return this.#current;
  }

  /** Follows `repository` from now on, durably. Rejects with `journal-failed`. */
  async follow(repository: string): Promise<void> {
    if (repository === this.#current) return;
    try {
      await replaceFile(this.#path, JSON.stringify({ formatVersion: 1, repository }));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new AgentError('journal-failed', `cannot write ${this.#path}: ${reason}`, {
        details: { path: this.#path },
        cause,
      });
    }
    this.#current = repository;
  }
}
