import { until } from '../fakes/simulated-node.ts';
import { shell } from '../vm/shell.ts';
import { type Content, makeContent, makeOtherData } from './content.ts';
import type { PublishedImage } from './image-shop.ts';
import { Link, type LinkTraits } from './link.ts';
import { dropFromPageCache } from './page-cache.ts';
import { formatMiB, formatSeconds } from './render.ts';
import { type GroupResults, measured } from './rows.ts';
import { type Stand, wants, withStand, type Workbench } from './workbench.ts';

const bootedBytes = 4 * 1024 * 1024;
const limitMs = 900_000;

/** What the tests of bad links cut off after: 5 MB, as the goal says. */
const cutAfterBytes = 5_000_000;
const roundTripMs = 500;

/** How long the whole image takes over the link that is used for the kill: slow enough for a moment to be 90 %. */
const killSeconds = 15;
const quickKillSeconds = 3;

interface Course {
  readonly stand: Stand;
  readonly link: Link;
  readonly image: PublishedImage;
  readonly content: Content;
  readonly otherData: Content;
  readonly blob: string;
}

/** The image is put onto a slot that holds it already. */
export async function runAgain(bench: Workbench): Promise<GroupResults> {
  return withCourse(bench, 'again', async (course) => {
    const { stand, link, image, content } = course;
    const { node, slots } = stand;
    const first = await install(course, {});
    await node.cancel();
    const again = await fetchAgain(course);
    await requireContent(course);
    const readSeconds = await timed(() =>
      shell(
        `dd if=${slots.b.device} of=/dev/null bs=4M iflag=direct,count_bytes count=${content.sizeBytes} status=none`,
      ),
    );
    const contentBytes = Math.max(0, link.toNodeBytes - image.otherBytes);
    const note = `${formatMiB(link.toNodeBytes)} in all; manifest, config and index have ${formatMiB(image.otherBytes)}`;
    return {
      'same-image': measured([(contentBytes * 100) / image.layer.sizeBytes], `of the layer; ${note}`),
      'same-image-time': measured(
        [again / readSeconds],
        `kaon ${formatSeconds(again)}, reading the device once ${formatSeconds(readSeconds)}; ` +
          `the first time ${formatSeconds(first)}`,
      ),
    };
  });
}

/** Both daemons are killed at 90 % of the download, and the agent starts again. */
export async function runKill(bench: Workbench): Promise<GroupResults> {
  return withCourse(bench, 'kill', async (course) => {
    const { stand, link, image } = course;
    const { node } = stand;
    const { sizeBytes } = image.layer;
    const seconds = bench.options.isQuick ? quickKillSeconds : killSeconds;
    await fresh(course);
    link.reset({ bytesPerSecond: sizeBytes / seconds });
    await node.startUpdate(link.host, image.name, 'staged');
    await until('90 % of the image', limitMs, async () => (link.toNodeBytes >= sizeBytes * 0.9 ? true : undefined));
    await node.node.endAgent('SIGKILL');
    const atKill = link.toNodeBytes;
    await node.node.restartAgent();
    await node.untilStaged(limitMs);
    await requireContent(course);
    const extraBytes = link.toNodeBytes - sizeBytes - image.otherBytes;
    const note = `killed after ${formatMiB(atKill)} of ${formatMiB(sizeBytes)} at ${formatMiB(sizeBytes / seconds)}/s`;
    return { 'kill-at-90': measured([(extraBytes * 100) / sizeBytes], `${note}; ${formatMiB(extraBytes)} twice`) };
  });
}

/** Installs over a link as it should be, and over bad ones. */
export async function runLink(bench: Workbench): Promise<GroupResults> {
  return withCourse(bench, 'link', async (course) => {
    const { link, image } = course;
    const good = await install(course, {});
    const goodBytes = link.toNodeBytes;
    const over = async (traits: LinkTraits) => {
      const seconds = await install(course, traits);
      const percent = ((link.toNodeBytes - goodBytes) * 100) / image.layer.sizeBytes;
      const times = `${formatSeconds(seconds)} against ${formatSeconds(good)}`;
      return measured(
        [seconds / good],
        `${times}, ${percent.toFixed(2)} % more bytes, ${link.connections} connections`,
      );
    };
    return {
      ...(wants(bench, 'cut-every-5mb') ? { 'cut-every-5mb': await over({ cutAfterBytes }) } : {}),
      ...(wants(bench, 'latency-500ms') ? { 'latency-500ms': await over({ roundTripMs }) } : {}),
    };
  });
}

async function withCourse<T>(bench: Workbench, name: string, use: (course: Course) => Promise<T>): Promise<T> {
  const { cache, options, shop } = bench;
  const content = await makeContent(cache, options.sizeBytes);
  const otherData = await makeOtherData(cache, content.sizeBytes);
  const image = await shop.publish(content);
  const link = await Link.open(shop.registry.host);
  try {
    const sizes = { a: bootedBytes, b: content.sizeBytes };
    return await withStand(bench, name, sizes, [link.host], async (stand) =>
      use({ stand, link, image, content, otherData, blob: shop.blobFile(image.layer.digest) }),
    );
  } finally {
    link.close();
  }
}

async function fresh({ stand, otherData, blob }: Course): Promise<void> {
  await stand.slots.b.fill(otherData.file);
  await stand.node.openFresh();
  await dropFromPageCache([blob]);
}

/** A first install over a link with these traits, proven byte for byte; resolves to its seconds. */
async function install(course: Course, traits: LinkTraits): Promise<number> {
  await fresh(course);
  course.link.reset(traits);
  const seconds = await stage(course);
  await requireContent(course);
  return seconds;
}

async function fetchAgain(course: Course): Promise<number> {
  course.link.reset();
  return stage(course);
}

async function stage({ stand, link, image }: Course): Promise<number> {
  return timed(async () => {
    await stand.node.startUpdate(link.host, image.name, 'staged');
    await stand.node.untilStaged(limitMs);
  });
}

async function requireContent({ stand, content }: Course): Promise<void> {
  if (!(await stand.slots.b.holds(content))) throw new Error('kaon left other bytes on the slot than the image has');
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
}
