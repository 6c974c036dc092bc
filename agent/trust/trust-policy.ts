import { TrustedDescriptor } from '../../partitions/trusted-descriptor.ts';
import { AgentError } from '../core/errors.ts';
import type { ResolvedImage, SignedImage, TrustedImage, TrustPolicy } from '../core/ports.ts';
import { checkImageBytes, type ImageFacts } from './check-image-bytes.ts';
import { findSignatures, requireSignatures, type SignatureFinding } from './judge-signatures.ts';
import type { TrustKey } from './keys.ts';
import { type ResolvedRule, resolveRules, ruleFor, type TrustRule } from './trust-rules.ts';

/** Why an image is trusted or not, signature by signature. */
export interface TrustExplanation {
  readonly repository: string;
  readonly rule: { readonly prefix: string; readonly keys: readonly string[]; readonly atLeast: number } | undefined;
  readonly findings: readonly SignatureFinding[];
  readonly verdict:
    | { readonly isTrusted: true; readonly keyIds: readonly string[] }
    | { readonly isTrusted: false; readonly reason: string };
}

/** Signatures by configured keys, one rule per repository prefix; no rule means refused. */
export class RuleTrustPolicy implements TrustPolicy {
  readonly #rules: readonly ResolvedRule[];

  /** Throws `config-invalid` for a rule that names unknown keys or can never be fulfilled. */
  constructor({ keys, rules }: { readonly keys: readonly TrustKey[]; readonly rules: readonly TrustRule[] }) {
    this.#rules = resolveRules(keys, rules);
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
    const findings = rule === undefined ? [] : findSignatures(rule, signed.signatures, digestsOf(signed.image));
    const shown = rule && { prefix: rule.prefix, keys: rule.keys.map(({ id }) => id), atLeast: rule.atLeast };
    try {
      return { repository, rule: shown, findings, verdict: { isTrusted: true, keyIds: this.judge(signed).keyIds } };
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return {
        repository,
        rule: shown,
        findings,
        verdict: { isTrusted: false, reason: `${error.code}: ${error.message}` },
      };
    }
  }

  #judge(signed: SignedImage): { readonly image: TrustedImage; readonly facts: ImageFacts } {
    const { image, signatures } = signed;
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
    const keyIds = requireSignatures(rule, findSignatures(rule, signatures, digestsOf(image)));
    // Only now, and only from bytes that hash to what was signed.
    const facts = checkImageBytes(image);
    return { image: trustedImage(image, facts, rule, keyIds), facts };
  }
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
