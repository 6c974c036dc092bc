import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BenchNode } from './bench-node.ts';
import type { Cache } from './cache.ts';
import type { ImageShop } from './image-shop.ts';
import { LoopSlot } from './loop-slot.ts';
import type { BenchOptions } from './options.ts';
import type { RowName } from './rows.ts';

/** What every group of rows gets. */
export interface Workbench {
  readonly options: BenchOptions;
  /** Of this run alone. */
  readonly folder: string;
  readonly cache: Cache;
  readonly shop: ImageShop;
  readonly say: (line: string) => void;
}

/** A node and its slots. */
export interface Stand {
  readonly node: BenchNode;
  readonly slots: Readonly<Record<'a' | 'b', LoopSlot>>;
  readonly folder: string;
}

/** Whether one of these rows is wanted. */
export function wants({ options }: Workbench, ...rows: readonly RowName[]): boolean {
  return rows.some((row) => options.rows.includes(row));
}

/**
 * Lets `use` have a node whose slots have these sizes, which takes images from `hosts`. Everything is ended and removed
 * afterwards, whatever happened.
 */
export async function withStand<T>(
  { folder, shop }: Workbench,
  name: string,
  sizes: Readonly<Record<'a' | 'b', number>>,
  hosts: readonly string[],
  use: (stand: Stand) => Promise<T>,
): Promise<T> {
  const own = join(folder, name);
  await mkdir(own, { recursive: true });
  const a = await LoopSlot.open(own, 'slot-a', sizes.a);
  try {
    const b = await LoopSlot.open(own, 'slot-b', sizes.b);
    try {
      const node = new BenchNode(join(own, 'node'), { a, b }, hosts, shop.publicKey);
      try {
        return await use({ node, slots: { a, b }, folder: own });
      } finally {
        await node.close();
      }
    } finally {
      await b.close();
    }
  } finally {
    await a.close();
  }
}
