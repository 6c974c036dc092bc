import { join } from 'node:path';
import { shell } from '../vm/shell.ts';
import type { Cache } from './cache.ts';
import { type Content, sizeOf } from './content.ts';

/** Two versions of one system. */
export interface ImagePair {
  /** `small`: a few libraries changed. `kernel`: the kernel, its modules and the initrd did. */
  readonly name: 'small' | 'kernel';
  readonly older: Content;
  readonly newer: Content;
  /** Where it comes from, for the table. */
  readonly origin: string;
}

const treeMiB = 12;
const imageMiB = 24;

/**
 * A tiny pair of each kind for the smoke run, made of files of this machine's /usr: in the newer tree some shared
 * objects have bytes in their middle that they had not, or half of all files are others.
 */
export async function tinyPairs(cache: Cache): Promise<readonly ImagePair[]> {
  const folder = await cache.file('tiny-pairs', async (path) => {
    await shell(`
      mkdir -p ${path}/tree/lib ${path}/tree/share && cd ${path}
      find /usr/lib -xdev -type f -name '*.so*' -size +64k -size -1024k | sort | awk 'NR <= 24' | xargs cp --parents -t tree/lib
      find /usr/share -xdev -type f -size +8k -size -256k | sort | awk 'NR <= 120' | xargs cp --parents -t tree/share
      while [ "$(du -sm tree | cut -f1)" -gt ${treeMiB} ]; do find tree -type f | sort | tail -n 4 | xargs rm; done
      build() {
        find tree -exec touch -h -d @1700000000 {} +
        SOURCE_DATE_EPOCH=1700000000 mkfs.ext4 -q -m 0 -U 00000000-0000-4000-8000-000000000001 \
          -E hash_seed=00000000-0000-4000-8000-000000000002 -d tree $1 ${imageMiB}M
      }
      build older.img
      for file in $(find tree/lib -type f | sort | awk 'NR <= 3'); do
        { head -c 40000 $file; echo changed in the middle; tail -c +40001 $file; } > new && cp new $file
      done
      build small.img
      for file in $(find tree -type f | sort | awk 'NR % 2'); do gzip -c $file > new && cp new $file; done
      build kernel.img
      rm -r tree new
    `);
  });
  const content = async (name: string): Promise<Content> => {
    const file = join(folder, name);
    return { file, sizeBytes: await sizeOf(file) };
  };
  const older = await content('older.img');
  const origin = 'tiny, made here';
  return [
    { name: 'small', older, newer: await content('small.img'), origin },
    { name: 'kernel', older, newer: await content('kernel.img'), origin },
  ];
}
