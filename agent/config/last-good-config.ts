import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { KaonConfig } from './config.ts';
import { type ConfigTexts, parseConfig } from './parse-config.ts';

const prefix = 'last-good-config-';
const keptFiles = 4;
const fileLimitBytes = 20 * 1024 * 1024;

const configText = z.object({ path: z.string(), text: z.string() });
const document = z.object({ image: configText.optional(), node: z.array(configText) });

/**
 * Keeps the texts of a configuration that parsed, one file a version of the agent: the slots of a node may run different
 * ones, and the older must not find only what it can't read. Durable when it resolves; writes nothing where it is kept
 * already. Rejects with the errors of the file system.
 */
export async function saveLastGoodConfig(directory: string, agentVersion: string, texts: ConfigTexts): Promise<void> {
  const bytes = Buffer.from(JSON.stringify({ ...(texts.image && { image: texts.image }), node: texts.node }));
  const path = join(directory, `${prefix}${agentVersion}.json`);
  const known = await readFile(path).catch(() => undefined);
  if (known?.equals(bytes) === true) return;
  await mkdir(directory, { recursive: true, mode: 0o750 });
  const fresh = `${path}.new`;
  const handle = await open(fresh, 'w', 0o640);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  // Power lost before: the earlier copy stands. After: the new one.
  await rename(fresh, path);
  await syncDirectory(directory);
  // Whatever the clock says that it is, the copy just written stays: a node without a clock boots in 1970.
  const others = (await newestFirst(directory)).filter(({ name }) => name !== basename(path));
  for (const { name } of others.slice(keptFiles - 1)) await rm(join(directory, name));
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The configuration that parsed last, of this version of the agent where there is one; `undefined` when there is none. */
export async function loadLastGoodConfig(directory: string, agentVersion: string): Promise<KaonConfig | undefined> {
  const own = `${prefix}${agentVersion}.json`;
  const others = (await newestFirst(directory)).map(({ name }) => name).filter((name) => name !== own);
  for (const name of [own, ...others]) {
    const config = await readCopy(join(directory, name));
    if (config !== undefined) return config;
  }
  return undefined;
}

async function newestFirst(directory: string): Promise<readonly { readonly name: string; readonly atMs: number }[]> {
  const names = await readdir(directory).catch(() => []);
  const copies = names.filter((name) => name.startsWith(prefix) && name.endsWith('.json'));
  const found = await Promise.all(
    copies.map(async (name) => ({
      name,
      atMs: (await stat(join(directory, name)).catch(() => undefined))?.mtimeMs ?? 0,
    })),
  );
  return found.sort((one, other) => other.atMs - one.atMs);
}

/** What can't be read or parsed is no copy: there may be another. */
async function readCopy(path: string): Promise<KaonConfig | undefined> {
  try {
    if ((await stat(path)).size > fileLimitBytes) return undefined;
    const { image, node } = document.parse(JSON.parse(await readFile(path, 'utf8')));
    return parseConfig({ image, node });
  } catch {
    return undefined;
  }
}
