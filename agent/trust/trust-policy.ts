import { TrustedDescriptor } from '../../partitions/trusted-descriptor.ts';
import { AgentError } from '../core/errors.ts';
import type { ResolvedImage, SignedImage, TrustedImage, TrustPolicy } from '../core/ports.ts';
import { checkImageBytes, type ImageFacts } from './check-image-bytes.ts';
import { describeRule } from './describe-rule.ts';
import { findProvenance, type ProvenanceFinding, requireProvenance } from './judge-provenance.ts';
import { findSignatures, type JudgeContext, requireSignatures, type SignatureFinding } from './judge-signatures.ts';
import type { SigstoreVerifier } from './sigstore.ts';
import {
  isBelow,
  needsSigstore,
  needsTime,
  type ResolvedProvenance,
  type ResolvedRule,
  resolveRules,
  ruleFor,
  signerIds,
  type TrustRule,
  type TrustSigners,
} from './trust-rules.ts';
import { describeTime, isoTime, type TrustTime } from './trust-time.ts';

/** Why an image is trusted or not, signature by signature. */
export interface TrustExplanation {
  readonly repository: string;
  /** `keys` are the ids of keys and identities. */
  readonly rule:
    | {
        readonly prefix: string;
        readonly keys: readonly string[];
        readonly atLeast: number;
        /** All that it wants, in words. */
        readonly wants: readonly string[];
      }
    | undefined;
  /** What may be provenance, where the rule wants it. */
  readonly provenance?: readonly ProvenanceFinding[];
  /** Where something depended on it. */
  readonly time?: string;
  readonly judgedAt?: { readonly at: string; readonly source: TrustTime['source'] };
  readonly findings: readonly SignatureFinding[];
  readonly verdict:
    | { readonly isTrusted: true; readonly keyIds: readonly string[] }
    | { readonly isTrusted: false; readonly reason: string };
}

/** What a policy is made of. */
export interface TrustPolicyParts extends TrustSigners {
  readonly rules: readonly TrustRule[];
  /** Prefixes of the repositories that images may be of; any with a rule where it is absent. */
  readonly repositories?: readonly string[] | undefined;
  /** Needed where a rule names identities or wants entries of a log. */
  readonly sigstore?: SigstoreVerifier | undefined;
  /** The time, asked for anew for each image; where it is absent, nothing that depends on it counts. */
  readonly time?: () => TrustTime;
}

/** Signatures by configured keys, one rule per repository prefix; no rule means refused. */
export class RuleTrustPolicy implements TrustPolicy {
  readonly #rules: readonly ResolvedRule[];
  readonly #repositories: readonly string[] | undefined;
  readonly #sigstore: SigstoreVerifier | undefined;
  readonly #time: (() => TrustTime) | undefined;

  /** Throws `config-invalid` for a rule that names unknown keys, can never be fulfilled, or wants a root that is not there. */
  constructor({ rules, repositories, sigstore, time, ...signers }: TrustPolicyParts) {
    this.#rules = resolveRules(signers, rules);
    this.#repositories = repositories;
    this.#sigstore = sigstore;
    this.#time = time;
    const rootless = rules.find(needsSigstore);
    if (rootless !== undefined && sigstore === undefined) {
      throw new AgentError(
        'config-invalid',
        `cannot use the rule ${rootless.prefix}: it wants identities or entries of a log; want trust.trustedRoot`,
        { details: { path: 'trust.trustedRoot' } },
      );
    }
  }

  judge(signed: SignedImage): TrustedImage {
    return this.#judge(signed).image;
  }

  /** Judges as `judge` does, and mints the proof that the slot writer wants. */
  judgeAndMint(signed: SignedImage): { readonly image: TrustedImage; readonly descriptor: TrustedDescriptor } {
    const { image, facts } = this.#judge(signed);
    const descriptor = TrustedDescriptor.mintAfterVerification({
      manifestDigest: image.manifestDigest,
      partitions: facts.layers.map(
        ({ name, encoding, layerDigest, layerSizeBytes, contentDigest, contentSizeBytes, index }) => ({
          name,
          encoding,
          layerDigest,
          layerSizeBytes,
          contentDigest,
          contentSizeBytes,
          index,
        }),
      ),
      boot: facts.boot,
    });
    return { image, descriptor };
  }

  /** What the policy finds about `signed`, without throwing. */
  explain(signed: SignedImage): TrustExplanation {
    const { repository } = signed.image.reference;
    const rule = ruleFor(this.#rules, repository);
    const findings = rule === undefined ? [] : this.#find(rule, signed);
    const shown = rule && {
      prefix: rule.prefix,
      keys: signerIds(rule),
      atLeast: rule.atLeast,
      wants: describeRule(rule),
    };
    const time = rule !== undefined && needsTime(rule) ? this.#time?.() : undefined;
    const provenance = rule?.provenance && this.#findProvenance(rule.provenance, signed);
    const about = provenance === undefined ? {} : { provenance };
    const found = {
      repository,
      rule: shown,
      findings,
      ...about,
      ...(time === undefined
        ? {}
        : { time: describeTime(time), judgedAt: { at: isoTime(time.nowMs), source: time.source } }),
    };
    try {
      return { ...found, verdict: { isTrusted: true, keyIds: this.judge(signed).keyIds } };
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return { ...found, verdict: { isTrusted: false, reason: `${error.code}: ${error.message}` } };
    }
  }

  #judge(signed: SignedImage): { readonly image: TrustedImage; readonly facts: ImageFacts } {
    const { image } = signed;
    this.#refuseUnlisted(image.reference.repository);
    const rule = ruleFor(this.#rules, image.reference.repository);
    if (rule === undefined) {
      throw new AgentError(
        'trust-rule-missing',
        `cannot trust ${image.reference.repository}: no rule under trust.rules has a prefix of it`,
        {
          details: { repository: image.reference.repository },
        },
      );
    }
    const findings = this.#find(rule, signed);
    const keyIds = requireSignatures(rule, findings);
    const provenance =
      rule.provenance && requireProvenance(rule.prefix, rule.provenance, this.#findProvenance(rule.provenance, signed));
    // Only now, and only from bytes that hash to what was signed.
    const facts = checkImageBytes(image);
    const proven = { ...trustedImage(image, facts, rule, keyIds), ...signedAt(findings) };
    return { image: provenance === undefined ? proven : { ...proven, provenance }, facts };
  }

  #refuseUnlisted(repository: string): void {
    if (this.#repositories?.some((prefix) => isBelow(repository, prefix)) !== false) return;
    throw new AgentError(
      'repository-refused',
      `cannot take an image of ${repository}: no entry of trust.repositories is a prefix of it`,
      { details: { repository } },
    );
  }

  #find(rule: ResolvedRule, { image, signatures }: SignedImage): readonly SignatureFinding[] {
    return findSignatures(rule, signatures, digestsOf(image), this.#context());
  }

  #findProvenance(rule: ResolvedProvenance, { image, signatures }: SignedImage): readonly ProvenanceFinding[] {
    return findProvenance(rule, signatures, digestsOf(image), this.#context());
  }

  #context(): JudgeContext {
    return { sigstore: this.#sigstore, time: this.#time?.() };
  }
}

/** The latest attested time of a signature that counted. */
function signedAt(findings: readonly SignatureFinding[]): { readonly signedAtMs?: number } {
  const times = findings.flatMap(({ result, signedAtMs }) =>
    result === 'verified' && signedAtMs !== undefined ? [signedAtMs] : [],
  );
  return times.length === 0 ? {} : { signedAtMs: Math.max(...times) };
}

/** A signature may cover the index that the tag named, or the manifest in it: both lead to the same bytes by hashes. */
function digestsOf(image: ResolvedImage): readonly string[] {
  return [...new Set([image.resolvedDigest, image.manifestDigest])];
}

function trustedImage(
  image: ResolvedImage,
  { config, layers, boot }: ImageFacts,
  rule: ResolvedRule,
  keyIds: readonly string[],
): TrustedImage {
  return {
    manifestDigest: image.manifestDigest,
    rule: rule.prefix,
    keyIds,
    isDowngradeAllowed: rule.isDowngradeAllowed,
    name: config.name,
    version: config.version,
    compatible: config.compatible,
    rollbackIndex: config.rollbackIndex,
    minimumAgent: config.minimumAgent,
    agentVersion: config.agentVersion,
    partitions: layers.map(({ name, layerDigest, layerSizeBytes, contentSizeBytes, index }) => ({
      name,
      layerDigest,
      layerSizeBytes,
      contentSizeBytes,
      index,
    })),
    boot,
  };
}
