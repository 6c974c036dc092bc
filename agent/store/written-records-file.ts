import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import type { WrittenRecords, WrittenSlot } from '../core/ports.ts';
import type { SlotName } from '../core/update-state.ts';
import { isMissing, replaceFile, syncDirectoryOf } from './replace-file.ts';

const limitBytes = 64 * 1024;

const record = z.object({
  formatVersion: z.literal(1),
  manifestDigest: z.string(),
  partitions: z.array(z.object({ name: z.string(), sizeBytes: z.number(), digest: z.string() })),
});

/**
 * What kaon-slotd wrote and read back, a JSON file a slot, in a directory that only it can write. Rejects with
 * `journal-failed`. A file that does not parse is no record: the slot is then written again, never trusted.
 */
export class WrittenRecordsFile implements WrittenRecords {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async read(slot: SlotName): Promise<WrittenSlot | undefined> {
    const bytes = await this.#attempt('read', slot, async (path) => {
      const text = await readFile(path).catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      return text === undefined || text.byteLength > limitBytes ? undefined : text.toString('utf8');
    });
    return bytes === undefined ? undefined : parseRecord(bytes);
  }

  async remove(slot: SlotName): Promise<void> {
    await this.#attempt('remove', slot, async (path) => {
      await rm(path, { force: true });
      await syncDirectoryOf(path);
    });
  }

  async save(slot: SlotName, written: WrittenSlot): Promise<void> {
    // Power lost in it: no record, and the slot is written again; or the record of a slot that was read back.
    await this.#attempt('write', slot, (path) => replaceFile(path, JSON.stringify({ formatVersion: 1, ...written })));
  }

  async #attempt<T>(verb: string, slot: SlotName, action: (path: string) => Promise<T>): Promise<T> {
    const path = join(this.#directory, `written-${slot}.json`);
    try {
      return await action(path);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new AgentError('journal-failed', `cannot ${verb} the record of slot ${slot} at ${path}: ${reason}`, {
        details: { path },
        cause,
      });
    }
  }
}

function parseRecord(text: string): WrittenSlot | undefined {
  try {
    const { manifestDigest, partitions } = record.parse(JSON.parse(text));
    return { manifestDigest, partitions };
  } catch {
    return undefined;
  }
}
