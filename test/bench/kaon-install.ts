import { setTimeout as delay } from 'node:timers/promises';
import type { BenchNode } from './bench-node.ts';
import type { Contender } from './contender.ts';
import type { ImageShop, PublishedImage } from './image-shop.ts';
import type { LoopSlot } from './loop-slot.ts';

/** More than the first blocks, which are zeroed before any content comes. */
const contentBytes = 64 * 1024;
const watchEveryMs = 3;
const limitMs = 600_000;

/** kaon itself: from the request to a staged slot. Its own times are `written` (the last write came back) and `first`. */
export function kaonInstall(node: BenchNode, slot: LoopSlot, shop: ImageShop, image: PublishedImage): Contender {
  return {
    name: 'kaon',
    sources: [shop.blobFile(image.layer.digest)],
    daemons: () => [node.pid],
    prepare: () => node.openFresh(),
    run: async () => {
      const watch = watchWrites(slot);
      try {
        await node.startUpdate(shop.registry.host, image.name, 'staged');
        await node.untilStaged(limitMs);
      } finally {
        watch.stop();
      }
      const { firstMs, lastMs } = await watch.seen;
      return { first: firstMs / 1000, written: lastMs / 1000 };
    },
    close: () => node.close(),
  };
}

/** When writes came back from the device, in milliseconds since the watch began. */
interface SeenWrites {
  /** The first content. */
  readonly firstMs: number;
  /** The last write or flush. */
  readonly lastMs: number;
}

/** Watches the kernel's counters of the device, which disturb nobody. */
function watchWrites(slot: LoopSlot): { readonly stop: () => void; readonly seen: Promise<SeenWrites> } {
  let isOver = false;
  const watch = async (): Promise<SeenWrites> => {
    const before = await slot.counters();
    const startMs = performance.now();
    let [firstMs, lastMs, writes] = [Number.NaN, Number.NaN, before.writes];
    for (;;) {
      const isLast = isOver;
      const counters = await slot.counters();
      const nowMs = performance.now() - startMs;
      if (Number.isNaN(firstMs) && counters.writtenBytes - before.writtenBytes > contentBytes) firstMs = nowMs;
      if (counters.writes !== writes) [lastMs, writes] = [nowMs, counters.writes];
      if (isLast) return { firstMs, lastMs };
      await delay(watchEveryMs);
    }
  };
  return { stop: () => void (isOver = true), seen: watch() };
}
