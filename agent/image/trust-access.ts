import { AgentError } from '../core/errors.ts';
import type { Reference } from '../core/image-format/reference.ts';
import type { ImageSource, ResolvedImage, SignatureEvidence } from '../core/ports.ts';
import { parseTrustKey } from '../trust/keys.ts';
import { RuleTrustPolicy } from '../trust/trust-policy.ts';
import type { TrustRule } from '../trust/trust-rules.ts';
import { type VerifiedImage, verifyImage } from './verify-image.ts';

/** A public key as it was read. */
export interface NamedPem {
  readonly id: string;
  readonly pem: Uint8Array;
}

/** An image held against a policy, with the coded error that a node would refuse it with. */
export interface JudgedImage {
  readonly verified: VerifiedImage;
  readonly refusal: AgentError | undefined;
}

/** A policy by the rules of a configuration. Throws `key-invalid` or `config-invalid`. */
export function policyOfRules(keys: readonly NamedPem[], rules: readonly TrustRule[]): RuleTrustPolicy {
  return new RuleTrustPolicy({ keys: keys.map(({ id, pem }) => parseTrustKey(id, pem)), rules });
}

/** A policy that wants one of `keys` for the repository of `reference`. Throws `key-invalid` or `config-invalid`. */
export function policyOfKeys(keys: readonly NamedPem[], reference: Reference): RuleTrustPolicy {
  const require = { keys: keys.map(({ id }) => id), atLeast: 1 };
  return policyOfRules(keys, [{ prefix: reference.repository, require, isDowngradeAllowed: true }]);
}

/** Verifies as `verifyImage` does, and tells a refusal by its code. Rejects as `verifyImage` does. */
export async function judgeImage(
  source: ImageSource,
  reference: Reference,
  policy: RuleTrustPolicy,
  isDeep: boolean,
  signal: AbortSignal,
): Promise<JudgedImage> {
  const seen = new RememberingSource(source);
  const verified = await verifyImage(seen, reference, policy, isDeep, signal);
  return { verified, refusal: verified.explanation.verdict.isTrusted ? undefined : refusalOf(policy, seen) };
}

/** Keeps what was fetched, so that the same bytes are judged again without asking a second time. */
class RememberingSource implements ImageSource {
  readonly #source: ImageSource;
  image: ResolvedImage | undefined;
  evidence: readonly SignatureEvidence[] = [];

  constructor(source: ImageSource) {
    this.#source = source;
  }

  async resolve(reference: Reference, signal: AbortSignal): Promise<ResolvedImage> {
    this.image = await this.#source.resolve(reference, signal);
    return this.image;
  }

  async signatures(image: ResolvedImage, signal: AbortSignal): Promise<readonly SignatureEvidence[]> {
    this.evidence = await this.#source.signatures(image, signal);
    return this.evidence;
  }

  async patches(...args: Parameters<ImageSource['patches']>): ReturnType<ImageSource['patches']> {
    return this.#source.patches(...args);
  }

  openLayer(...args: Parameters<ImageSource['openLayer']>): AsyncIterable<Uint8Array> {
    return this.#source.openLayer(...args);
  }
}

function refusalOf(policy: RuleTrustPolicy, { image, evidence }: RememberingSource): AgentError | undefined {
  if (image === undefined) return undefined;
  try {
    policy.judge({ image, signatures: evidence });
    return undefined;
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
}
