import type { FetchNeed } from '../core/metered.ts';
import type { ByteRange, Clock, LayerSource, PatchOffer } from '../core/ports.ts';
import type { UpdateRequest } from '../core/update-state.ts';
import type { DownloadPacer } from './download-pacer.ts';
import { layerSizes, layersOf } from './find-patches.ts';
import type { JudgedImage } from './judge-image.ts';
import type { MeteredLink } from './metered-link.ts';
import { fetchedLayers } from './plan.ts';
import type { TransferMeter } from './transfer-meter.ts';

/** A link may become another one in the middle of a download. */
const linkPollMs = 30_000;

/** What `judged` takes to fetch at least, whatever the node has: layers without a block index are fetched whole. */
export function leastNeed(judged: JudgedImage): FetchNeed {
  const indexed = judged.trusted.partitions.filter(({ index }) => index !== undefined);
  const missing = fetchedLayers(judged).filter(
    ({ layerDigest }) => !indexed.some((partition) => partition.layerDigest === layerDigest),
  );
  return { fetchedBytes: 0, missingBytes: sizeOf(missing), imageBytes: sizeOf(fetchedLayers(judged)) };
}

/**
 * The layers of an image for one run of its write: counted as they come, and held to the rule for metered links and to
 * the rate limit.
 */
export class ImageFetch {
  readonly #judged: JudgedImage;
  readonly #patches: readonly PatchOffer[];
  readonly #update: UpdateRequest;
  readonly #meter: TransferMeter;
  readonly #metered: MeteredLink;
  readonly #clock: Clock;
  readonly #pacer: DownloadPacer;
  readonly #signal: AbortSignal;

  constructor(
    image: { readonly judged: JudgedImage; readonly patches: readonly PatchOffer[] },
    update: UpdateRequest,
    ports: {
      readonly meter: TransferMeter;
      readonly metered: MeteredLink;
      readonly clock: Clock;
      readonly pacer: DownloadPacer;
    },
    signal: AbortSignal,
  ) {
    this.#judged = image.judged;
    this.#patches = image.patches;
    this.#update = update;
    this.#meter = ports.meter;
    this.#metered = ports.metered;
    this.#clock = ports.clock;
    this.#pacer = ports.pacer;
    this.#signal = signal;
  }

  /** A `LayerSource`. Rejects with the codes of the image's source, or `link-metered`. */
  readonly layers: LayerSource = (digest, ranges) => this.#fetch(digest, ranges);

  async *#fetch(digest: string, ranges: readonly ByteRange[] | undefined): AsyncGenerator<Uint8Array> {
    const sizeBytes = layerSizes(this.#judged, this.#patches).get(digest) ?? 0;
    // An index is what tells a delta from a whole image: it is fetched over any link.
    const { partitions } = this.#judged.trusted;
    const isContent = [...partitions, ...this.#patches].some(({ layerDigest }) => layerDigest === digest);
    const askedBytes = ranges === undefined ? sizeBytes : ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
    if (isContent) await this.#admit(askedBytes);
    let lookedAtMs = this.#clock.monotonicMs();
    for await (const bytes of layersOf(this.#judged, this.#patches, this.#signal)(digest, ranges)) {
      this.#meter.addFetched(bytes.byteLength);
      await this.#pacer.pace(bytes.byteLength, this.#signal);
      yield bytes;
      if (!isContent || this.#clock.monotonicMs() - lookedAtMs < linkPollMs) continue;
      lookedAtMs = this.#clock.monotonicMs();
      await this.#admit(askedBytes);
    }
  }

  /** Asked for so much of one layer; kaon-slotd knows of all of them, once it looked at what the node has. */
  async #admit(askedBytes: number): Promise<void> {
    const { missingBytes = askedBytes } = this.#meter;
    const fetchedBytes = this.#meter.of(this.#update.id)?.fetchedBytes ?? 0;
    const imageBytes = sizeOf(fetchedLayers(this.#judged));
    await this.#metered.admit(this.#update, { fetchedBytes, missingBytes, imageBytes });
  }
}

function sizeOf(layers: readonly { readonly layerSizeBytes: number }[]): number {
  return layers.reduce((sum, { layerSizeBytes }) => sum + layerSizeBytes, 0);
}
