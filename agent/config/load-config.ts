import { open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AgentError, type ErrorCode } from '../core/errors.ts';
import type { KaonConfig } from './config.ts';
import { type ConfigText, type ConfigTexts, parseConfig } from './parse-config.ts';

const fileLimitBytes = 256 * 1024;
const keyLimitBytes = 16 * 1024;
const trustedRootLimitBytes = 1024 * 1024;
const dropInLimit = 64;

/** The configuration's files. */
export interface ConfigFiles {
  /** The node's main file; its drop-ins are `conf.d/*.yaml` beside it, in the order of their names. */
  readonly mainFile: string;
  /** The image's file; it may be missing. `undefined` reads none. */
  readonly imageFile: string | undefined;
}

/** Reads and parses the whole configuration. Rejects with `config-invalid`. */
export async function loadConfig(files: ConfigFiles): Promise<KaonConfig> {
  return parseConfig(await readConfigTexts(files));
}

/** Reads the configuration's files. Rejects with `config-invalid`. */
export async function readConfigTexts({ mainFile, imageFile }: ConfigFiles): Promise<ConfigTexts> {
  const image = imageFile === undefined ? undefined : await readText(imageFile);
  const main = await readText(mainFile);
  if (main === undefined && image === undefined) {
    throw invalid(mainFile, 'it does not exist; write it (see the example kaon.yaml)');
  }
  const directory = join(dirname(mainFile), 'conf.d');
  const names = (await listFiles(directory)).filter((name) => name.endsWith('.yaml')).sort();
  if (names.length > dropInLimit) throw invalid(directory, `it has more than ${dropInLimit} files; merge some`);
  const dropIns = await Promise.all(names.map((name) => readText(join(directory, name))));
  return { image, node: [main, ...dropIns].filter((text) => text !== undefined) };
}

/** The bytes of a key file, at most 16 KiB. Rejects with `key-invalid`. */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  return readBounded(path, keyLimitBytes).catch((cause: unknown) => {
    throw fileError('key-invalid', `the key ${path}`, path, cause);
  });
}

/** The bytes of a file with Sigstore's trusted root, at most 1 MiB. Rejects with `config-invalid`. */
export async function readTrustedRootFile(path: string): Promise<Uint8Array> {
  return readBounded(path, trustedRootLimitBytes).catch((cause: unknown) => {
    throw fileError('config-invalid', `trust.trustedRoot ${path}`, path, cause);
  });
}

async function readText(path: string): Promise<ConfigText | undefined> {
  try {
    const bytes = await readBounded(path, fileLimitBytes);
    return { path, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw fileError('config-invalid', path, path, cause);
  }
}

async function listFiles(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw fileError('config-invalid', directory, directory, cause);
  }
}

async function readBounded(path: string, limitBytes: number): Promise<Uint8Array> {
  const handle = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(limitBytes + 1);
    let filled = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.byteLength - filled, null);
      filled += bytesRead;
      if (filled > limitBytes) throw new Error(`it has more than ${limitBytes} bytes`);
      if (bytesRead === 0) return bytes.subarray(0, filled);
    }
  } finally {
    await handle.close();
  }
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}

function invalid(path: string, reason: string): AgentError {
  return new AgentError('config-invalid', `cannot read ${path}: ${reason}`, { details: { path } });
}

function fileError(code: ErrorCode, what: string, path: string, cause: unknown): AgentError {
  const reason = isMissing(cause) ? 'it does not exist' : cause instanceof Error ? cause.message : String(cause);
  return new AgentError(code, `cannot read ${what}: ${reason}`, { details: { path }, cause });
}
