import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { AgentError } from '../core/errors.ts';
import { type CredentialLookup, findCredentials, parseCredentialFile } from './credentials.ts';

const limitBytes = 1024 * 1024;

/** Reads a credentials file. Rejects with `config-invalid`, also when others than its owner and group may read it. */
export async function readCredentialText(path: string): Promise<string> {
  const invalid = (reason: string, cause?: unknown) =>
    new AgentError('config-invalid', `cannot use credentials file ${path}: ${reason}`, {
      details: { path },
      ...(cause === undefined ? {} : { cause }),
    });
  // Without O_NONBLOCK a FIFO in place of the file would hold the agent.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    throw invalid(`it cannot be opened (${code})`, cause);
  });
  try {
    const status = await file.stat();
    if (!status.isFile()) throw invalid('it is no regular file');
    // Its group may read it: the agent is no root, and root's file is shared with it by its group.
    if ((status.mode & 0o037) !== 0) {
      const mode = (status.mode & 0o777).toString(8).padStart(4, '0');
      throw invalid(`its mode is ${mode}, so others may use it; run chmod 640 ${path}`);
    }
    if (status.size > limitBytes) throw invalid(`it has ${status.size} bytes, the limit is ${limitBytes}`);
    const buffer = Buffer.alloc(limitBytes + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * The lookup over the credentials files of the configuration, by registry. A file is read each time it is asked for,
 * so that rotated credentials hold at once.
 */
export function lookupInFiles(authFiles: Readonly<Record<string, string>>): CredentialLookup {
  return async (registry, name) => {
    const path = Object.hasOwn(authFiles, registry) ? authFiles[registry] : undefined;
    if (path === undefined) return { kind: 'none' };
    return findCredentials(parseCredentialFile(await readCredentialText(path), path), registry, name);
  };
}
