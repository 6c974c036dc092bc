import { isAlreadyRunning, inactiveSlot, type NodeIdentity, preflight } from '../core/admission.ts';
import { type ErrorReport, reportOf } from '../core/errors.ts';
import { fulfilsFollowed } from '../core/followed-repository.ts';
import type { LoaderProof } from '../core/facts.ts';
import { formatReference, parseReference, type Reference } from '../core/image-format/reference.ts';
import { proofOf, unprovenLoader } from '../core/loader-proof.ts';
import type { Offered } from '../core/offers.ts';
import type {
  Deployment,
  ImageSource,
  ImageSourceFactory,
  NodeBoot,
  SignedImage,
  SlotService,
  TrustedImage,
  TrustPolicy,
} from '../core/ports.ts';
import type { SlotName, Target } from '../core/update-state.ts';
import type { FactsKeeper } from './facts-keeper.ts';
import type { OfferWatch } from './offer-watch.ts';

/** An image as the trust policy and the preflight of this node see it. */
export interface JudgedImage {
  readonly signed: SignedImage;
  readonly source: ImageSource;
  readonly trusted: TrustedImage;
  readonly node: NodeBoot;
  readonly isAlreadyRunning: boolean;
  readonly blockers: readonly ErrorReport[];
  /** What is known of the loader; `undefined` while it never showed anything. */
  readonly loaderProof: LoaderProof | undefined;
}

/** The configured loader with its dialect, and whether the update rules want a proof that it counts. */
export interface LoaderRule {
  readonly name: string;
  readonly isProofRequired: boolean;
}

/** Resolves and judges images; reads the network and the node, and writes nothing but that it saw them. */
export class ImageJudge {
  readonly #sources: ImageSourceFactory;
  readonly #trust: TrustPolicy;
  readonly #slots: SlotService;
  readonly #facts: FactsKeeper;
  readonly #identity: NodeIdentity;
  readonly #loader: LoaderRule;
  readonly #offers: Pick<OfferWatch, 'contacted' | 'verified'> | undefined;

  constructor(ports: {
    sources: ImageSourceFactory;
    trust: TrustPolicy;
    slots: SlotService;
    facts: FactsKeeper;
    identity: NodeIdentity;
    loader: LoaderRule;
    /** Where it is kept what was offered; absent where nothing is. */
    offers?: Pick<OfferWatch, 'contacted' | 'verified'> | undefined;
  }) {
    this.#sources = ports.sources;
    this.#trust = ports.trust;
    this.#slots = ports.slots;
    this.#facts = ports.facts;
    this.#identity = ports.identity;
    this.#loader = ports.loader;
    this.#offers = ports.offers;
  }

  /** Resolves `reference` once, fetches its signatures and judges it. Rejects with coded errors of source and policy. */
  async judge(
    reference: Reference,
    from: string | undefined,
    deployments: Readonly<Partial<Record<SlotName, Deployment>>>,
    signal: AbortSignal,
  ): Promise<JudgedImage> {
    const source = this.#sources(from);
    const image = await source.resolve(reference, signal);
    if (from === undefined) await this.#offers?.contacted();
    const signatures = await source.signatures(image, signal);
    const signed = { image, signatures };
    const trusted = this.#trust.judge(signed);
    await this.#offers?.verified(offeredOf(trusted), digestsOf(deployments));
    const node = await this.#slots.readNode();
    const facts = { data: this.#facts.data, isLost: this.#facts.isLost };
    const loaderProof = proofOf(facts.data, this.#loader.name);
    const loaderBlocker = this.#loader.isProofRequired ? unprovenLoader(loaderProof) : undefined;
    return {
      signed,
      source,
      trusted,
      node,
      isAlreadyRunning: isAlreadyRunning(trusted, node, deployments),
      blockers: [
        ...this.#repositoryBlockers(signed, node.followed),
        ...preflight(trusted, node, facts, this.#identity, loaderBlocker),
      ],
      loaderProof,
    };
  }

  /** What kaon-slotd would refuse the image for. */
  #repositoryBlockers(signed: SignedImage, followed: string | undefined): readonly ErrorReport[] {
    try {
      fulfilsFollowed((one) => this.#trust.judge(one), signed, followed);
      return [];
    } catch (error) {
      return [reportOf(error)];
    }
  }
}

function offeredOf({ manifestDigest, rollbackIndex, signedAtMs }: TrustedImage): Offered {
  return { digest: manifestDigest, rollbackIndex, signedAtMs };
}

function digestsOf(deployments: Readonly<Partial<Record<SlotName, Deployment>>>): readonly string[] {
  return Object.values(deployments).flatMap(({ digest }) => digest ?? []);
}

/** What the update of `judged` is to put where. */
export function targetOf(judged: JudgedImage): Target {
  const { trusted, node, signed } = judged;
  return {
    slot: inactiveSlot(node.booted),
    previous: node.booted,
    digest: trusted.manifestDigest,
    resolvedDigest: signed.image.resolvedDigest,
    version: trusted.version,
    rollbackIndex: trusted.rollbackIndex,
    keyIds: trusted.keyIds,
    rule: trusted.rule,
    ...(trusted.provenance === undefined ? {} : { provenance: trusted.provenance }),
  };
}

/** The reference of an image pinned to what its tag resolved to, so that a tag that moved meanwhile changes nothing. */
export function pinned(image: string, target: Target): Reference {
  const reference = parseReference(image);
  const digest = target.resolvedDigest ?? target.digest;
  return digest === undefined ? reference : parseReference(formatReference({ ...reference, digest }));
}
