import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../core/errors.ts';
import { type ConfRule, type ConfText, parseRegistriesConf } from './registries-conf.ts';

const limitBytes = 256 * 1024;
const dropInLimit = 64;

/**
 * The rules of the registries.conf at `path` and of its drop-ins, `*.conf` in `path.d` by their names; none where they do
 * not exist. Rejects with `config-invalid`.
 */
export async function readRegistriesConf(path: string): Promise<readonly ConfRule[]> {
  const folder = `${path}.d`;
  const listed = (await orNothing(folder, () => readdir(folder))) ?? [];
  const names = listed.filter((name) => name.endsWith('.conf')).sort();
  if (names.length > dropInLimit) throw invalid(folder, `it has more than ${dropInLimit} files`);
  const files = [path, ...names.map((name) => join(folder, name))];
  const texts = await Promise.all(files.map((file) => orNothing(file, () => readText(file))));
  return parseRegistriesConf(texts.filter((text) => text !== undefined));
}

async function readText(path: string): Promise<ConfText> {
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(limitBytes + 1);
    let filled = 0;
    for (;;) {
      const { bytesRead } = await file.read(bytes, filled, bytes.byteLength - filled, null);
      filled += bytesRead;
      if (filled > limitBytes) throw new Error(`it has more than ${limitBytes} bytes`);
      if (bytesRead === 0) return { path, text: bytes.toString('utf8', 0, filled) };
    }
  } finally {
    await file.close();
  }
}

/** What `read` gives; `undefined` where there is no such file. */
async function orNothing<T>(path: string, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw invalid(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function invalid(path: string, reason: string, cause?: unknown): AgentError {
  return new AgentError('config-invalid', `cannot read ${path}: ${reason}`, {
    details: { path },
    ...(cause === undefined ? {} : { cause }),
  });
}
