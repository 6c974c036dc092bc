import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Cache, keyOf } from './cache.ts';
import type { Content } from './content.ts';
import { buildLayout } from './kaonctl.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What decides how an image looks; a change there makes all images anew. */
const builders = ['partitions', 'agent/image', 'agent/core/image-format', 'agent/cli/commands'];

/** How a content becomes an image. */
export interface BuildTraits {
  /** Of zstd; 3 unless told. */
  readonly level?: number;
  /** The content of the release before, which frames are cut by. */
  readonly previous?: Content | undefined;
}

/** An OCI layout with the image of `content`, built by kaonctl and kept until the code that makes images changes. */
export async function layoutOf(
  cache: Cache,
  content: Content,
  { level = 3, previous }: BuildTraits = {},
): Promise<string> {
  const older = previous && { layout: await layoutOf(cache, previous), key: await keyOf(previous.file) };
  const after = older === undefined ? '' : `after-${older.key}-`;
  const prefix = `layout-${after}${await keyOf(content.file)}-${level}-`;
  return cache.file(`${prefix}${await builderKey()}`, async (path) => {
    await cache.forget(prefix);
    await buildLayout(content, path, level, older?.layout);
  });
}

async function builderKey(): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of builders) {
    const names = await readdir(join(root, folder), { recursive: true });
    for (const name of names.filter((file) => file.endsWith('.ts')).sort()) {
      hash.update(name).update(await readFile(join(root, folder, name)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}
