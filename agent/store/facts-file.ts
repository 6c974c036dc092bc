import { type FileHandle, open, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import { emptyFacts, type FactsData } from '../core/facts.ts';
import type { Facts } from '../core/ports.ts';
import { decodeFacts, encodeFacts, type FactsCopy, factsCopyLimitBytes } from './facts-codec.ts';

const copyNames = ['facts.0', 'facts.1'] as const;
type CopyName = (typeof copyNames)[number];

/** Says that there were facts, for the case that both copies are gone. Never removed. */
const markerName = 'facts.exist';

type FoundCopy = FactsCopy | { readonly kind: 'absent' };

/**
 * The facts in two copies in a directory. A save overwrites the older copy in place, makes it durable and reads it again,
 * so that power lost anywhere leaves the newest whole copy. Rejects with `facts-failed`, and with `journal-newer` where a
 * sound copy needs a newer agent.
 */
export class FactsFile implements Facts {
  readonly #directory: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async load(): Promise<{ readonly data: FactsData; readonly isLost: boolean }> {
    const { newest, wereFacts } = await this.#find();
    return newest === undefined ? { data: emptyFacts, isLost: wereFacts } : { data: newest.data, isLost: false };
  }

  save(data: FactsData): Promise<void> {
    // One at a time: two saves at once would both overwrite the same copy.
    const saved = this.#last.then(() => this.#save(data));
    this.#last = saved.catch(() => undefined);
    return saved;
  }

  async #save(data: FactsData): Promise<void> {
    const { newest, hasMarker } = await this.#find();
    const bytes = this.#encode(data, (newest?.sequence ?? 0n) + 1n);
    const name: CopyName = newest?.name === 'facts.0' ? 'facts.1' : 'facts.0';
    await attempt('write', join(this.#directory, name), async (path) => {
      // A first copy comes by rename: a file that is there but unsound is then damage, never a cut in its making.
      if (!(await overwrite(path, bytes))) await this.#create(path, bytes);
      const stored = await readBounded(path);
      if (stored === undefined || !Buffer.from(stored.subarray(0, bytes.byteLength)).equals(bytes)) {
        throw new Error('it reads back differently');
      }
      // After the copy: a marker without any copy would hold a new node's updates for nothing.
      if (!hasMarker) await this.#create(join(this.#directory, markerName), Buffer.from('kaon keeps facts here\n'));
    });
  }

  #encode(data: FactsData, sequence: bigint): Uint8Array {
    try {
      return encodeFacts(data, sequence);
    } catch (cause) {
      throw failed('write', this.#directory, cause);
    }
  }

  async #create(path: string, bytes: Uint8Array): Promise<void> {
    const handle = await open(`${path}.new`, 'w', 0o640);
    await writeDurably(handle, bytes);
    await rename(`${path}.new`, path);
    const directory = await open(this.#directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  async #find(): Promise<{
    readonly newest: { readonly name: CopyName; readonly sequence: bigint; readonly data: FactsData } | undefined;
    readonly hasMarker: boolean;
    readonly wereFacts: boolean;
  }> {
    const copies = await Promise.all(copyNames.map(async (name) => ({ name, copy: await this.#read(name) })));
    for (const { name, copy } of copies) {
      if (copy.kind === 'newer') {
        throw new AgentError(
          'journal-newer',
          `cannot read ${join(this.#directory, name)}: it has format version ${copy.version}, this agent reads 1`,
        );
      }
    }
    const sound = copies.flatMap(({ name, copy }) => (copy.kind === 'sound' ? [{ name, ...copy }] : []));
    sound.sort((one, other) => (one.sequence < other.sequence ? 1 : -1));
    const names = await attempt('read', this.#directory, (path) => readdir(path));
    const hasMarker = names.includes(markerName);
    const wereFacts = hasMarker || copies.some(({ copy }) => copy.kind !== 'absent');
    return { newest: sound[0], hasMarker, wereFacts };
  }

  async #read(name: CopyName): Promise<FoundCopy> {
    const bytes = await attempt('read', join(this.#directory, name), readBounded).catch((error: unknown) => {
      // A sector that can't be read is damage to this copy; the other one may be sound.
      if (error instanceof AgentError && error.details['errno'] === 'EIO') return Buffer.alloc(0);
      throw error;
    });
    return bytes === undefined ? { kind: 'absent' } : decodeFacts(bytes);
  }
}

async function readBounded(path: string): Promise<Uint8Array | undefined> {
  const handle = await openExisting(path, 'r');
  if (handle === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(factsCopyLimitBytes);
    let filled = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.byteLength - filled, filled);
      filled += bytesRead;
      if (bytesRead === 0 || filled === bytes.byteLength) return bytes.subarray(0, filled);
    }
  } finally {
    await handle.close();
  }
}

/** Overwrites an existing file in place, never truncating it, and makes it durable; `false` where there is none. */
async function overwrite(path: string, bytes: Uint8Array): Promise<boolean> {
  const handle = await openExisting(path, 'r+');
  if (handle === undefined) return false;
  await writeDurably(handle, bytes);
  return true;
}

async function writeDurably(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  try {
    let written = 0;
    while (written < bytes.byteLength) {
      const { bytesWritten } = await handle.write(bytes, written, bytes.byteLength - written, written);
      written += bytesWritten;
    }
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

async function openExisting(path: string, flags: 'r' | 'r+'): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function attempt<T>(verb: 'read' | 'write', path: string, action: (path: string) => Promise<T>): Promise<T> {
  try {
    return await action(path);
  } catch (cause) {
    throw failed(verb, path, cause);
  }
}

function failed(verb: string, path: string, cause: unknown): AgentError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new AgentError('facts-failed', `cannot ${verb} ${path}: ${reason}`, {
    details: { path, errno: errnoOf(cause) },
    cause,
  });
}

function errnoOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
