/**
 * How far an interrupted write of a slot had come, a JSON file a slot beside the records:
 *
 *     { "formatVersion": 1, "sha256": hex of the text of `checkpoint`, "checkpoint": "…" }
 *     checkpoint: { "manifestDigest": "sha256:…", "frames": { partition: base64 of a bit for each frame } }
 *
 * It is a hint: each frame that it names is hashed again before it counts.
 */
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { CheckpointStore, WriteCheckpoint } from '../../partitions/checkpoint.ts';
import { AgentError } from '../core/errors.ts';
import type { SlotName } from '../core/update-state.ts';
import { isMissing, replaceFile, syncDirectoryOf } from './replace-file.ts';

const limitBytes = 4 * 1024 * 1024;

const file = z.object({ formatVersion: z.literal(1), sha256: z.string(), checkpoint: z.string() });
const body = z.object({ manifestDigest: z.string(), frames: z.record(z.string(), z.base64()) });

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex');

/** Checkpoints in a directory that only kaon-slotd can write. Rejects with `journal-failed`. */
export class CheckpointFile implements CheckpointStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async load(slot: SlotName): Promise<WriteCheckpoint | undefined> {
    const bytes = await this.#attempt('read', slot, (path) =>
      readFile(path).catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      }),
    );
    return bytes === undefined || bytes.byteLength > limitBytes ? undefined : parseCheckpoint(bytes.toString('utf8'));
  }

  async save(slot: SlotName, { manifestDigest, frames }: WriteCheckpoint): Promise<void> {
    const bits = Object.entries(frames).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')] as const);
    const checkpoint = JSON.stringify({ manifestDigest, frames: Object.fromEntries(bits) });
    const text = JSON.stringify({ formatVersion: 1, sha256: digestOf(checkpoint), checkpoint });
    await this.#attempt('write', slot, (path) => replaceFile(path, text));
  }

  async remove(slot: SlotName): Promise<void> {
    await this.#attempt('remove', slot, async (path) => {
      await rm(path, { force: true });
      await syncDirectoryOf(path);
    });
  }

  async #attempt<T>(verb: string, slot: SlotName, action: (path: string) => Promise<T>): Promise<T> {
    const path = join(this.#directory, `checkpoint-${slot}.json`);
    try {
      return await action(path);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new AgentError('journal-failed', `cannot ${verb} the checkpoint of slot ${slot} at ${path}: ${reason}`, {
        details: { path },
        cause,
      });
    }
  }
}

/** What does not parse, or was damaged, is no checkpoint: more is fetched again, and that is all. */
function parseCheckpoint(text: string): WriteCheckpoint | undefined {
  try {
    const { sha256, checkpoint } = file.parse(JSON.parse(text));
    if (digestOf(checkpoint) !== sha256) return undefined;
    const { manifestDigest, frames } = body.parse(JSON.parse(checkpoint));
    const bits = Object.entries(frames).map(([name, base64]) => [name, new Uint8Array(Buffer.from(base64, 'base64'))]);
    return { manifestDigest, frames: Object.fromEntries(bits) as WriteCheckpoint['frames'] };
  } catch {
    return undefined;
  }
}
