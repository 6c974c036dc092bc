import { makeOtherData } from './content.ts';
import { debianPairs } from './debian-pairs.ts';
import { type BuildTraits, layoutOf } from './layouts.ts';
import { Link } from './link.ts';
import { type ImagePair, tinyPairs } from './pairs.ts';
import { type PeerDeltas, peerDeltas } from './peer-deltas.ts';
import { formatMiB } from './render.ts';
import { type GroupResults, measured, notRun, type RowResult } from './rows.ts';
import { wants, withStand, type Workbench } from './workbench.ts';

const limitMs = 600_000;

/** What images are published with, and what the shares are shares of. */
const level = 19;
const quickLevel = 3;

/** What kaon fetched for a pair, HTTP's own bytes included. */
interface OwnBytes {
  readonly byIndex: number;
  /** Bytes, or why there is no patch. */
  readonly byPatch: number | string;
}

/** Makes the pairs, their images, and what the peers would fetch. */
export async function prepareDeltas(bench: Workbench): Promise<void> {
  for (const pair of await pairsOf(bench)) {
    await peerDeltas(bench.cache, pair, levelOf(bench));
    await layoutOf(bench.cache, pair.newer, traitsOf(bench, pair));
  }
}

/** Updates between two versions of a system: what kaon fetches, and what others would. */
export async function runDeltas(bench: Workbench): Promise<GroupResults> {
  let results: GroupResults = {};
  for (const pair of await pairsOf(bench)) {
    const peers = await peerDeltas(bench.cache, pair, levelOf(bench));
    const own = await fetchedBytes(bench, pair);
    results = { ...results, ...rowsOf(pair, own, peers, levelOf(bench)) };
  }
  return results;
}

/** The pairs that the wanted rows are about. */
async function pairsOf(bench: Workbench): Promise<readonly ImagePair[]> {
  const pairs = await (bench.options.isQuick ? tinyPairs(bench.cache) : debianPairs(bench.cache));
  return pairs.filter(({ name }) =>
    wants(bench, `delta-${name}-index`, `delta-${name}-patch`, `delta-${name}-rauc`, `delta-${name}-casync`),
  );
}

/** The rows of a pair. */
export function rowsOf({ name, origin }: ImagePair, own: OwnBytes, peers: PeerDeltas, zstdLevel = level): GroupResults {
  const share = (bytes: number) => (bytes * 100) / peers.wholeBytes;
  const whole = `of ${formatMiB(peers.wholeBytes)} (zstd -${zstdLevel} of all; ${origin})`;
  const raucBytes = peers.rauc.indexBytes + peers.rauc.groupsBytes;
  const casyncBytes = peers.casync.indexBytes + peers.casync.chunksBytes;
  const cheapest = typeof own.byPatch === 'number' ? Math.min(own.byIndex, own.byPatch) : own.byIndex;
  const against = (theirs: number, what: string): RowResult =>
    measured(
      [own.byIndex / theirs],
      `by index ${formatMiB(own.byIndex)}, ${what} ${formatMiB(theirs)} (${share(theirs).toFixed(1)} %)` +
        (cheapest < own.byIndex ? `; by patch ${formatMiB(cheapest)}` : ''),
    );
  return {
    [`delta-${name}-index`]: measured([share(own.byIndex)], `${formatMiB(own.byIndex)} ${whole}`),
    [`delta-${name}-patch`]:
      typeof own.byPatch === 'string'
        ? notRun(own.byPatch)
        : measured([share(own.byPatch)], `${formatMiB(own.byPatch)} ${whole}`),
    [`delta-${name}-rauc`]: against(raucBytes, `RAUC's scheme, ${peers.rauc.fetchedGroups} groups,`),
    [`delta-${name}-casync`]: against(casyncBytes, `casync, ${peers.casync.chunks} chunks,`),
  };
}

/**
 * Installs the older image and commits it, puts other data onto the slot that is free then, and stages the newer one:
 * once as it is, once with a patch beside it.
 */
async function fetchedBytes(bench: Workbench, pair: ImagePair): Promise<OwnBytes> {
  const { cache, shop, say } = bench;
  const { name, older, newer } = pair;
  const sizeBytes = Math.max(older.sizeBytes, newer.sizeBytes);
  const otherData = await makeOtherData(cache, sizeBytes);
  const olderImage = await shop.publish(older);
  const newerImage = await shop.publish(newer, traitsOf(bench, pair));
  const link = await Link.open(shop.registry.host);
  try {
    return await withStand(bench, 'delta', { a: sizeBytes, b: sizeBytes }, [link.host], async ({ node, slots }) => {
      const stage = async () => {
        await slots.a.fill(otherData.file);
        link.reset();
        await node.startUpdate(link.host, newerImage.name, 'staged');
        await node.untilStaged(limitMs);
        if (!(await slots.a.holds(newer))) throw new Error('kaon left other bytes on the slot than the image has');
        return link.toNodeBytes;
      };
      await slots.b.fill(otherData.file);
      await node.openFresh();
      await node.startUpdate(link.host, olderImage.name, 'committed');
      await node.untilCommitted(limitMs);
      const byIndex = await stage();
      say(`delta ${name}: ${formatMiB(byIndex)} by index`);
      const whyNot = await shop.publishPatch(olderImage, newerImage);
      if (whyNot !== undefined) return { byIndex, byPatch: whyNot };
      await node.cancel();
      return { byIndex, byPatch: await stage() };
    });
  } finally {
    link.close();
  }
}

/** The newer image is built as publishers are told to: by the one that most nodes have. */
function traitsOf(bench: Workbench, { older }: ImagePair): BuildTraits {
  return { level: levelOf(bench), previous: older };
}

function levelOf({ options }: Workbench): number {
  return options.isQuick ? quickLevel : level;
}
