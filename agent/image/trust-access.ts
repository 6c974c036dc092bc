import { AgentError } from '../core/errors.ts';
import { fulfilsFollowed } from '../core/followed-repository.ts';
import type { Reference } from '../core/image-format/reference.ts';
import type { ImageSource, OnEvidenceProblem, ResolvedImage, SignatureEvidence } from '../core/ports.ts';
import type { TrustIdentity } from '../trust/identities.ts';
import { type KeyValidity, parseTrustKey } from '../trust/keys.ts';
import { loadSigstore } from '../trust/sigstore.ts';
import { RuleTrustPolicy } from '../trust/trust-policy.ts';
import { needsSigstore, type TrustRule } from '../trust/trust-rules.ts';
import { type TimeFloors, trustTime } from '../trust/trust-time.ts';
import { type VerifiedImage, verifyImage } from './verify-image.ts';

/** A public key as it was read. */
export interface NamedPem {
  readonly id: string;
  readonly pem: Uint8Array;
  /** When it counts; absent: always. */
  readonly validity?: KeyValidity | undefined;
}

/** An image held against a policy, with the coded error that a node would refuse it with. */
export interface JudgedImage {
  readonly verified: VerifiedImage;
  readonly refusal: AgentError | undefined;
}

/** A configuration's trust policy, its files read. */
export interface PolicyInput {
  readonly keys: readonly NamedPem[];
  readonly identities: readonly TrustIdentity[];
  readonly revoked: readonly string[];
  readonly rules: readonly TrustRule[];
  readonly repositories?: readonly string[] | undefined;
  /** Sigstore's trusted root; `undefined` where there is none. */
  readonly trustedRoot: Uint8Array | undefined;
  readonly nowMs: () => number;
  /** What the time can't be before. */
  readonly floors: TimeFloors;
}

/** A policy by the rules of a configuration. Rejects with `key-invalid` or `config-invalid`. */
export async function policyOfRules(input: PolicyInput): Promise<RuleTrustPolicy> {
  const { keys, trustedRoot, nowMs, floors, ...rest } = input;
  const isRootNeeded = trustedRoot !== undefined && rest.rules.some(needsSigstore);
  return new RuleTrustPolicy({
    ...rest,
    keys: keys.map(({ id, pem, validity }) => parseTrustKey(id, pem, validity)),
    sigstore: isRootNeeded ? await loadSigstore(trustedRoot) : undefined,
    time: () => trustTime(nowMs(), floors),
  });
}

/** A policy that wants one of `keys` for the repository of `reference`. Throws `key-invalid` or `config-invalid`. */
export function policyOfKeys(keys: readonly NamedPem[], reference: Reference): RuleTrustPolicy {
  const require = { keys: keys.map(({ id }) => id), atLeast: 1 };
  return new RuleTrustPolicy({
    keys: keys.map(({ id, pem }) => parseTrustKey(id, pem)),
    rules: [{ prefix: reference.repository, require, isDowngradeAllowed: true }],
  });
}

/**
 * Verifies as `verifyImage` does, and tells a refusal by its code, also where nothing beside the image can be read, or where
 * it is `followed` whose rule the image does not fulfil. Rejects as `verifyImage` does.
 */
export async function judgeImage(
  source: ImageSource,
  reference: Reference,
  policy: RuleTrustPolicy,
  { isDeep, followed }: { readonly isDeep: boolean; readonly followed?: string | undefined },
  signal: AbortSignal,
): Promise<JudgedImage> {
  const seen = new RememberingSource(source);
  const verified = await verifyImage(seen, reference, policy, isDeep, signal);
  const refusal = seen.unreadable ?? refusalOf(policy, seen, followed);
  if (refusal === undefined) return { verified, refusal };
  const verdict = { isTrusted: false, reason: `${refusal.code}: ${refusal.message}` } as const;
  return { verified: { ...verified, explanation: { ...verified.explanation, verdict } }, refusal };
}

/** Keeps what was fetched, so that the same bytes are judged again without asking a second time. */
class RememberingSource implements ImageSource {
  readonly #source: ImageSource;
  image: ResolvedImage | undefined;
  evidence: readonly SignatureEvidence[] = [];
  /** That there are signatures, and none of them can be read. */
  unreadable: AgentError | undefined;

  constructor(source: ImageSource) {
    this.#source = source;
  }

  async resolve(reference: Reference, signal: AbortSignal): Promise<ResolvedImage> {
    this.image = await this.#source.resolve(reference, signal);
    return this.image;
  }

  async signatures(
    image: ResolvedImage,
    signal: AbortSignal,
    onProblem?: OnEvidenceProblem,
  ): Promise<readonly SignatureEvidence[]> {
    try {
      this.evidence = await this.#source.signatures(image, signal, onProblem);
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== 'signature-invalid') throw error;
      this.unreadable = error;
    }
    return this.evidence;
  }

  async patches(...args: Parameters<ImageSource['patches']>): ReturnType<ImageSource['patches']> {
    return this.#source.patches(...args);
  }

  openLayer(...args: Parameters<ImageSource['openLayer']>): AsyncIterable<Uint8Array> {
    return this.#source.openLayer(...args);
  }
}

function refusalOf(
  policy: RuleTrustPolicy,
  { image, evidence }: RememberingSource,
  followed: string | undefined,
): AgentError | undefined {
  if (image === undefined) return undefined;
  try {
    const signed = { image, signatures: evidence };
    policy.judge(signed);
    fulfilsFollowed((one) => policy.judge(one), signed, followed);
    return undefined;
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
}
