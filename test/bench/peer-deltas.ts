import { readFile, writeFile } from 'node:fs/promises';
import { shell } from '../vm/shell.ts';
import { blockSchemeBytes, type SchemeBytes } from './block-scheme.ts';
import { type Cache, keyOf } from './cache.ts';
import type { ImagePair } from './pairs.ts';

/** What others would fetch for a pair. */
export interface PeerDeltas {
  /** The whole new image as one zstd -19 stream: what all shares are shares of. */
  readonly wholeBytes: number;
  readonly rauc: SchemeBytes;
  /** The index, and the chunks that the old image does not have. */
  readonly casync: { readonly indexBytes: number; readonly chunksBytes: number; readonly chunks: number };
}

/** What the peers would fetch, computed once for two images and kept. */
export async function peerDeltas(cache: Cache, { older, newer }: ImagePair, level: number): Promise<PeerDeltas> {
  const name = `deltas-${await keyOf(older.file)}-${await keyOf(newer.file)}-${level}.json`;
  const file = await cache.file(name, async (path, folder) => {
    const whole = await shell(`zstd -q -${level} -T0 -c ${newer.file} | wc -c`);
    const deltas: PeerDeltas = {
      wholeBytes: Number(whole),
      rauc: await blockSchemeBytes(older.file, newer.file, level),
      casync: await casyncDelta(folder, older.file, newer.file),
    };
    await writeFile(path, JSON.stringify(deltas));
  });
  return JSON.parse(await readFile(file, 'utf8')) as PeerDeltas;
}

/** casync as it is by default: chunks of 64 KiB on average, each packed on its own, one file a chunk in a store. */
async function casyncDelta(folder: string, older: string, newer: string): Promise<PeerDeltas['casync']> {
  const counts = await shell(`
    cd ${folder}
    casync make --store=old.castr old.caibx ${older} >/dev/null
    casync make --store=new.castr new.caibx ${newer} >/dev/null
    (cd old.castr && find . -name '*.cacnk' | sort) > old.list
    (cd new.castr && find . -name '*.cacnk' -printf '%p %s\\n' | sort) > new.list
    stat -c %s new.caibx
    join -v 2 old.list new.list | awk '{ bytes += $2; chunks += 1 } END { print bytes + 0; print chunks + 0 }'
    rm -r old.castr new.castr
  `);
  const [indexBytes = 0, chunksBytes = 0, chunks = 0] = counts.trim().split('\n').map(Number);
  return { indexBytes, chunksBytes, chunks };
}
