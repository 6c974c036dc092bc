import type { LookupFunction } from 'node:net';
import { emptyFacts } from '../../../agent/core/facts.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { AgentError, reportOf } from '../../../agent/core/errors.ts';
import type { FollowedRepository } from '../../../agent/core/followed-repository.ts';
import type { Clock, ImageSource, SlotService, TrustPolicy } from '../../../agent/core/ports.ts';
import type { FoundCredentials } from '../../../agent/oci/credentials.ts';
import { RegistryImageSource } from '../../../agent/oci/registry-source.ts';
import type { RegistrySettings, TransferLimits } from '../../../agent/oci/settings.ts';
import { LocalSlotService } from '../../../agent/slotd/local-slot-service.ts';
import { parseTrustKey } from '../../../agent/trust/keys.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import { FactsKeeper } from '../../../agent/update/facts-keeper.ts';
import { layersOf } from '../../../agent/update/find-patches.ts';
import { withOtherPlaces } from '../../../agent/update/other-places.ts';
import { ImageJudge, pinned, targetOf } from '../../../agent/update/judge-image.ts';
import { OfferWatch } from '../../../agent/update/offer-watch.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { ConnectProxy, tunnelTo } from '../../fakes/connect-proxy.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { MemoryBootloader } from '../../fakes/memory-bootloader.ts';
import { MemoryFacts } from '../../fakes/memory-facts.ts';
import { MemoryWrittenRecords } from '../../fakes/memory-written-records.ts';
import { type EmbeddedRegistry, startRegistry } from '../../fakes/registry.ts';
import type { RegistryAuthOptions } from '../../fakes/registry-auth.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { makeSigner, type TestSigner } from '../../fakes/signer.ts';
import { writerParts } from '../../fakes/writer-parts.ts';

/**
 * Where an attack ended: while the image was resolved, or its signatures were fetched; at the trust policy; at the
 * preflight; at kaon-slotd before it changed anything; or in the stream, with the inactive slot marked bad.
 */
export type Place = 'resolve' | 'signatures' | 'trust' | 'preflight' | 'slotd' | 'stream';

/** How an attack ended. */
export interface Refusal {
  readonly code: string;
  readonly place: Place;
}

export const slotBytes = 256 * 1024;
export const rollbackFloor = 3;

/** Limits that an attack reaches soon, in time that the attack passes itself. */
export const limits: TransferLimits = {
  stallTimeoutMs: 1000,
  slowestBytes: 1024,
  answerTimeoutMs: 4000,
  retry: { attempts: 2, baseDelayMs: 0, maxDelayMs: 0, totalTimeMs: 10_000 },
  layerRetry: { attempts: 2, baseDelayMs: 0, maxDelayMs: 0, totalTimeMs: 10_000 },
};

/** A clock that stands still but for attacks; waits of no length end at once. */
class AttackClock extends ManualClock implements Clock {
  override sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return durationMs > 0 ? super.sleep(durationMs, signal) : Promise.resolve();
  }
}

const dayMs = 86_400_000;

/** What a victim differs in. */
export interface VictimOptions {
  readonly auth?: RegistryAuthOptions;
  readonly credentials?: FoundCredentials;
  /** Whether the registry lists referrers itself. */
  readonly listsReferrers?: boolean;
  /** Whether the registry is called `registry.test`, and reached through a proxy: it is then not on this machine. */
  readonly isElsewhere?: boolean;
  /** Whether the registry has a mirror, which is asked first. */
  readonly isMirrored?: boolean;
}

/** What kaon-slotd keeps of the repository that the node follows. */
class MemoryFollowed implements FollowedRepository {
  current: string | undefined;

  async follow(repository: string): Promise<void> {
    this.current = repository;
  }
}

/** Every name stands for this node. */
const toThisNode: LookupFunction = (_hostname, options, callback) => {
  if (options.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  else callback(null, '127.0.0.1', 4);
};

/** Keys are made once: an RSA or P-256 pair costs time, and no attack changes one. */
const keys = { release: makeSigner('ed25519'), releaseEc: makeSigner('ecdsa-p256'), stranger: makeSigner('ed25519') };

/**
 * A node between a hostile registry and its slots: the agent's own source, trust policies, preflight and slot writer
 * over sockets on loopback, with devices and a loader in memory. Slot a runs; its rollback floor is 3.
 */
export class Victim {
  readonly registry: EmbeddedRegistry;
  /** Another host that writes down what it is sent. */
  readonly eavesdropper: EmbeddedRegistry;
  /** What is asked first where the registry is mirrored. */
  readonly mirror: EmbeddedRegistry;
  /** The registry as references name it. */
  readonly host: string;
  readonly clock = new AttackClock();
  readonly devices: MemorySlotDevices;
  readonly loader = new MemoryBootloader();
  readonly signers: Readonly<Record<'release' | 'releaseEc' | 'stranger', TestSigner>> = keys;
  readonly #proxy: ConnectProxy;
  readonly #source: RegistryImageSource;
  readonly #service: LocalSlotService;
  readonly #facts = new FactsKeeper(new MemoryFacts());
  #trustNowMs = 1_790_000_000_000;
  /** What the node keeps of offers; a silence of thirty days is an alarm. */
  readonly offers = new OfferWatch({
    facts: this.#facts,
    clock: this.clock,
    nowMs: () => this.#trustNowMs,
    reportAfterMs: 30 * dayMs,
    report: () => undefined,
    onFault: (error) => {
      throw error;
    },
  });
  readonly #judge: ImageJudge;
  readonly #steps: string[] = [];
  readonly #layers = new Set<string>();
  #place: Place = 'resolve';

  private constructor(
    hosts: {
      readonly registry: EmbeddedRegistry;
      readonly eavesdropper: EmbeddedRegistry;
      readonly mirror: EmbeddedRegistry;
      readonly proxy: ConnectProxy;
    },
    options: VictimOptions,
  ) {
    this.registry = hosts.registry;
    this.eavesdropper = hosts.eavesdropper;
    this.mirror = hosts.mirror;
    this.#proxy = hosts.proxy;
    this.host = options.isElsewhere === true ? 'registry.test' : hosts.registry.host;
    const beforeStep = (name: string) => void this.#steps.push(name);
    const slots = { a: { root: { sizeBytes: slotBytes } }, b: { root: { sizeBytes: slotBytes } } };
    this.devices = new MemorySlotDevices({ slots, booted: 'a', beforeStep });
    const settings: RegistrySettings = {
      insecureHttp: true,
      ...(options.isMirrored === true
        ? { mirrors: [{ registry: hosts.mirror.host, path: '', prefix: '', isTagged: false }] }
        : {}),
      ...(options.isElsewhere === true ? { proxy: { url: hosts.proxy.url, except: ['.cdn.test'] } } : {}),
    };
    this.#source = new RegistryImageSource({
      registries: { [this.host]: settings, [this.mirror.host]: { insecureHttp: true } },
      credentials: async () => options.credentials ?? { kind: 'none' },
      platform: { os: 'linux', architecture: 'amd64', variant: undefined },
      clock: this.clock,
      random: new SeededRandom(),
      limits,
      lookup: toThisNode,
    });
    const identity = { compatible: 'board-1', agentVersion: '1.0.0' };
    this.#service = new LocalSlotService({
      booted: 'a',
      bootloader: this.loader,
      devices: this.devices,
      writer: new StreamingSlotWriter({ ...writerParts, devices: this.devices, bufferBytes: 4096 }),
      policy: this.#policy(),
      records: new MemoryWrittenRecords(),
      followed: new MemoryFollowed(),
      rebooter: { reboot: async () => undefined },
      identity,
    });
    this.#judge = new ImageJudge({
      sources: () => this.#watched(),
      trust: this.#watchedPolicy(),
      slots: this.#service,
      facts: this.#facts,
      identity,
      loader: { name: 'memory', isProofRequired: false },
      offers: this.offers,
    });
  }

  static async start(options: VictimOptions = {}): Promise<Victim> {
    const { auth, listsReferrers = false } = options;
    const registry = await startRegistry({ listsReferrers, ...(auth === undefined ? {} : { auth }) });
    const proxy = await ConnectProxy.start((_target, client) => tunnelTo(registry.host, client));
    const victim = new Victim(
      { registry, eavesdropper: await startRegistry(), mirror: await startRegistry(), proxy },
      options,
    );
    await victim.#facts.change(() => ({ ...emptyFacts, rollbackFloor }));
    return victim;
  }

  /** Lets so many days pass, by the time of trust. */
  passDays(days: number): void {
    this.#trustNowMs += days * dayMs;
  }

  /** Makes the digest known as one that rolled back. */
  async rememberBad(digest: string): Promise<void> {
    const entry = { digest, reason: 'it rolled back', updateId: 'u1', atMs: 0 };
    await this.#facts.change((data) => ({ ...data, knownBad: [...data.knownBad, entry] }));
  }

  async close(): Promise<void> {
    this.#source.close();
    await Promise.all([this.registry.close(), this.eavesdropper.close(), this.mirror.close(), this.#proxy.close()]);
  }

  /** What kaon-slotd of the node does. */
  get service(): SlotService {
    return this.#service;
  }

  /** The steps on the devices so far. */
  get steps(): readonly string[] {
    return this.#steps;
  }

  /**
   * Updates to `reference` as kaond and kaon-slotd do, up to the written slot; `between` happens after the image was
   * judged, and before it is fetched. `undefined` when the image was written and read back.
   */
  async attempt(reference: string, between: () => void = () => undefined): Promise<Refusal | undefined> {
    const { signal } = new AbortController();
    try {
      const target = targetOf(await this.#admitted(reference));
      between();
      const judged = await this.#admitted(pinned(reference, target));
      this.#place = 'slotd';
      const layers = layersOf(judged, [], signal);
      await withOtherPlaces(judged, () => this.#service.writeSlot('b', judged.signed, layers, () => undefined, signal));
      return undefined;
    } catch (error) {
      const isMarked = this.#place === 'slotd' && (this.#steps.length > 0 || this.#hasRead);
      return { code: reportOf(error).code, place: isMarked ? 'stream' : this.#place };
    }
  }

  /** A layer is read only after the slot was marked bad. */
  get #hasRead(): boolean {
    return this.registry.requests.some(({ path }) => this.#layers.has(path.split('/').at(-1) ?? ''));
  }

  async #admitted(reference: string | ReturnType<typeof parseReference>) {
    const parsed = typeof reference === 'string' ? parseReference(reference) : reference;
    const judged = await this.#judge.judge(parsed, undefined, {}, new AbortController().signal);
    this.#place = 'preflight';
    const [blocker] = judged.blockers;
    if (blocker !== undefined) throw new AgentError(blocker.code, blocker.message);
    for (const { layerDigest, index } of judged.trusted.partitions) {
      this.#layers.add(layerDigest);
      if (index !== undefined) this.#layers.add(index.layerDigest);
    }
    return judged;
  }

  #policy(): RuleTrustPolicy {
    const { release, releaseEc } = this.signers;
    return new RuleTrustPolicy({
      keys: [parseTrustKey('release', release.publicPem), parseTrustKey('release-ec', releaseEc.publicPem)],
      rules: [
        {
          prefix: `${this.host}/os`,
          require: { keys: ['release', 'release-ec'], atLeast: 1 },
          isDowngradeAllowed: false,
        },
        {
          prefix: `${this.host}/strict`,
          require: { keys: ['release', 'release-ec'], atLeast: 2 },
          isDowngradeAllowed: false,
        },
      ],
    });
  }

  #watchedPolicy(): TrustPolicy {
    const policy = this.#policy();
    return {
      judge: (signed) => {
        this.#place = 'trust';
        return policy.judge(signed);
      },
    };
  }

  #watched(): ImageSource {
    const source = this.#source;
    return {
      resolve: (reference, signal) => {
        this.#place = 'resolve';
        return source.resolve(reference, signal);
      },
      signatures: (image, signal) => {
        this.#place = 'signatures';
        return source.signatures(image, signal);
      },
      patches: (image, base, signal) => source.patches(image, base, signal),
      openLayer: (image, layer, signal, ranges) => source.openLayer(image, layer, signal, ranges),
      distrust: (image) => source.distrust(image),
    };
  }
}
