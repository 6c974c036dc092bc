import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';

/** One file of a layout, open for reading. */
export interface LayoutFile {
  readonly sizeBytes: number;
  /** Reads up to `buffer.byteLength` bytes at `position`; fewer only at the end. */
  readAt(buffer: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

/** The files of an OCI layout, wherever they lie. */
export interface LayoutFiles {
  /** Where the layout is, for messages. */
  readonly location: string;
  /** Opens the file at `path` below the layout; `undefined` when there is none. Rejects with `archive-invalid`. */
  open(path: string): Promise<LayoutFile | undefined>;
  close(): Promise<void>;
}

/** The error for a layout or archive that can't be used. */
export function archiveInvalid(location: string, reason: string, cause?: unknown): AgentError {
  return new AgentError('archive-invalid', `cannot read ${location}: ${reason}`, {
    details: { location },
    ...(cause === undefined ? {} : { cause }),
  });
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
}

/**
 * Opens a regular file for reading; `undefined` when there is none. No link is followed at its end, and no FIFO or
 * device is waited for.
 */
export async function openRegular(path: string, location: string): Promise<FileHandle | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw archiveInvalid(location, `${path} cannot be opened (${code === 'ELOOP' ? 'it is a link' : code})`, cause);
  }
  const status = await file.stat();
  if (status.isFile()) return file;
  await file.close();
  throw archiveInvalid(location, `${path} is no regular file`);
}

/** Reads at a position of an open file. Rejects with `archive-invalid` when the medium fails. */
export async function readAt(file: FileHandle, buffer: Uint8Array, position: number, location: string) {
  let done = 0;
  while (done < buffer.byteLength) {
    const { bytesRead } = await file
      .read(buffer, done, buffer.byteLength - done, position + done)
      .catch((cause: unknown) => {
        throw archiveInvalid(location, `it cannot be read (${errnoOf(cause)})`, cause);
      });
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** The files of a layout in a directory. */
export class DirectoryFiles implements LayoutFiles {
  readonly location: string;
  readonly #directory: string;

  constructor(directory: string) {
    this.location = `oci:${directory}`;
    this.#directory = directory;
  }

  async open(path: string): Promise<LayoutFile | undefined> {
    const { location } = this;
    const file = await openRegular(join(this.#directory, path), location);
    if (file === undefined) return undefined;
    const { size } = await file.stat();
    return {
      sizeBytes: size,
      readAt: (buffer, position) => readAt(file, buffer, position, location),
      close: () => file.close(),
    };
  }

  async close(): Promise<void> {
    // Nothing is kept open between files.
  }
}
