import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { contend, type Contender, type ContestResult, type Measurement } from './contender.ts';
import { type Content, makeContent, makeOtherData } from './content.ts';
import type { PublishedImage } from './image-shop.ts';
import { kaonInstall } from './kaon-install.ts';
import { layoutOf } from './layouts.ts';
import { mender, packForMender } from './peers/mender.ts';
import { Nginx } from './peers/nginx.ts';
import { type PeerKeys, peerKeys } from './peers/peer-keys.ts';
import { packForRauc, rauc } from './peers/rauc.ts';
import { shellPipe } from './peers/shell-pipe.ts';
import { packForSwupdate, swupdate } from './peers/swupdate.ts';
import { formatMiB, formatSeconds, shortReason } from './render.ts';
import { type GroupResults, measured, notRun, type RowName, type RowResult } from './rows.ts';
import { median, ratios } from './statistics.ts';
import { type Stand, wants, withStand, type Workbench } from './workbench.ts';

/** The booted slot is not touched. */
const bootedBytes = 4 * 1024 * 1024;

/** Makes what the installs need and keeps it for later runs. */
export async function prepareInstall(bench: Workbench): Promise<void> {
  const content = await makeContent(bench.cache, bench.options.sizeBytes);
  await makeOtherData(bench.cache, content.sizeBytes);
  await layoutOf(bench.cache, content);
  const keys = await peerKeys(bench.cache);
  if (wants(bench, 'install-swupdate')) await packForSwupdate(bench.cache, content);
  if (wants(bench, 'install-rauc')) await packForRauc(bench.cache, content, keys);
  if (wants(bench, 'install-mender')) await packForMender(bench.cache, content, keys);
}

/** Installs of one image by everybody, in turn. */
export async function runInstall(bench: Workbench): Promise<GroupResults> {
  const { cache, options, shop, say } = bench;
  const content = await makeContent(cache, options.sizeBytes);
  const otherData = await makeOtherData(cache, content.sizeBytes);
  const image = await shop.publish(content);
  const keys = await peerKeys(cache);
  const sizes = { a: bootedBytes, b: content.sizeBytes };
  return withStand(bench, 'install', sizes, [shop.registry.host], async (stand) => {
    const peers = join(stand.folder, 'peers');
    await mkdir(peers);
    const server = await Nginx.open(join(stand.folder, 'nginx'), [join(peers, 'swupdate'), cache.folder]);
    const contenders = [kaonInstall(stand.node, stand.slots.b, shop, image)];
    const missing = new Map<string, ContestResult>();
    try {
      for (const [name, open] of openers(bench, { stand, image, content, keys, server, peers })) {
        try {
          contenders.push(await open());
        } catch (error) {
          missing.set(name, { reason: `cannot set up ${name}: ${shortReason(error)}` });
        }
      }
      const contest = { slot: stand.slots.b, content, otherData, rounds: options.rounds };
      return rowsOf(new Map([...missing, ...(await contend(contenders, contest, say))]));
    } finally {
      for (const contender of contenders) await contender.close();
      await server.close();
    }
  });
}

interface Ring {
  readonly stand: Stand;
  readonly image: PublishedImage;
  readonly content: Content;
  readonly keys: PeerKeys;
  readonly server: Nginx;
  readonly peers: string;
}

/** The peers that the wanted rows compare with. */
function openers(bench: Workbench, ring: Ring): readonly (readonly [string, () => Promise<Contender>])[] {
  const { cache, shop } = bench;
  const { stand, image, content, keys, server, peers } = ring;
  const { a, b } = stand.slots;
  const all = [
    {
      name: 'shell',
      rows: ['install', 'install-read-back', 'install-cpu', 'page-cache'],
      open: async () => shellPipe(peers, b, shop, image),
    },
    {
      name: 'swupdate',
      rows: ['install-swupdate'],
      open: async () => swupdate(join(peers, 'swupdate'), b, await packForSwupdate(cache, content), keys, server),
    },
    {
      name: 'rauc',
      rows: ['install-rauc'],
      open: async () => rauc(join(peers, 'rauc'), a, b, await packForRauc(cache, content, keys), keys),
    },
    {
      name: 'mender',
      rows: ['install-mender'],
      open: async () => mender(join(peers, 'mender'), b, await packForMender(cache, content, keys), keys, server),
    },
  ] as const;
  return all.filter(({ rows }) => wants(bench, ...rows)).map(({ name, open }) => [name, open] as const);
}

/** The rows of a contest. */
export function rowsOf(results: ReadonlyMap<string, ContestResult>): GroupResults {
  const kaon = results.get('kaon');
  const of = (make: (measurements: readonly Measurement[]) => RowResult): RowResult => {
    if (kaon === undefined) return notRun('kaon did not run');
    return 'reason' in kaon ? notRun(kaon.reason) : make(kaon);
  };
  const against = (peer: string, what: (measurement: Measurement) => number, theirs = wall) =>
    of((ours) => {
      const found = results.get(peer);
      if (found === undefined) return notRun(`${peer} did not run`);
      if ('reason' in found) return notRun(found.reason);
      const [own, other] = [ours.map(what), found.map(theirs)];
      const note = `kaon ${formatSeconds(median(own))}, ${peer} ${formatSeconds(median(other))}`;
      return measured(ratios(own, other), note);
    });
  const rows: Partial<Record<RowName, RowResult>> = {
    install: against('shell', written),
    'install-read-back': against('shell', wall),
    'install-cpu': against('shell', cpu, cpu),
    'install-swupdate': withCpu(against('swupdate', written), results, 'swupdate'),
    'install-rauc': withCpu(against('rauc', written), results, 'rauc'),
    'install-mender': withCpu(against('mender', written), results, 'mender'),
    'first-byte': of((ours) =>
      measured(
        ours.map(({ own }) => (own['first'] ?? Number.NaN) * 1000),
        'from the request to the first content on the device, kaon-slotd not running yet',
      ),
    ),
    'page-cache': of((ours) => measured(ours.map(leftMiB), `left behind; ${othersLeft(results)}`)),
  };
  return rows;
}

const wall = ({ wallSeconds }: Measurement) => wallSeconds;
const written = ({ own }: Measurement) => own['written'] ?? Number.NaN;
const cpu = ({ cpuSeconds }: Measurement) => cpuSeconds;
const leftMiB = ({ leftInCacheBytes }: Measurement) => leftInCacheBytes / 1024 / 1024;

/** The processor seconds of both beside their ratio of times. */
function withCpu(result: RowResult, results: ReadonlyMap<string, ContestResult>, peer: string): RowResult {
  if (result.outcome === 'not-run') return result;
  const [own, other] = ['kaon', peer].map((name) => {
    const found = results.get(name);
    return found === undefined || 'reason' in found ? Number.NaN : median(found.map(cpu));
  });
  return { ...result, note: `${result.note}; CPU ${formatSeconds(own ?? 0)} and ${formatSeconds(other ?? 0)}` };
}

function othersLeft(results: ReadonlyMap<string, ContestResult>): string {
  const others = [...results].flatMap(([name, found]) =>
    name === 'kaon' || 'reason' in found
      ? []
      : [`${name} ${formatMiB(Math.max(0, median(found.map(({ leftInCacheBytes }) => leftInCacheBytes))))}`],
  );
  return others.length === 0 ? 'no peer ran' : others.join(', ');
}
