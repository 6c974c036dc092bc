import { createHash } from 'node:crypto';
import { AgentError, type ErrorReport } from '../core/errors.ts';
import { algorithmOf } from '../core/image-format/digest.ts';
import type { Reference } from '../core/image-format/reference.ts';
import type { ImageSource } from '../core/ports.ts';
import type { RuleTrustPolicy, TrustExplanation } from '../trust/trust-policy.ts';

/** An image held against a policy. */
export interface VerifiedImage {
  readonly digest: string;
  readonly explanation: TrustExplanation;
  /** What lies beside it and can't be read, and why. */
  readonly problems: readonly ErrorReport[];
  /** The layers whose bytes were fetched and have their digest; empty unless asked for. */
  readonly checkedLayers: readonly { readonly digest: string; readonly sizeBytes: number }[];
}

/**
 * Judges an image by `policy`, and with `isDeep` fetches each layer and checks its digest. An untrusted image is no
 * rejection: the explanation says so. Rejects with the codes of the source, or `digest-mismatch`.
 */
export async function verifyImage(
  source: ImageSource,
  reference: Reference,
  policy: RuleTrustPolicy,
  isDeep: boolean,
  signal: AbortSignal,
): Promise<VerifiedImage> {
  const image = await source.resolve(reference, signal);
  const problems: ErrorReport[] = [];
  const signatures = await source.signatures(image, signal, (problem) => problems.push(problem));
  const signed = { image, signatures };
  const explanation = policy.explain(signed);
  const checkedLayers: { digest: string; sizeBytes: number }[] = [];
  if (isDeep && explanation.verdict.isTrusted) {
    const { partitions, boot } = policy.judgeAndMint(signed).descriptor.facts;
    const indexes = partitions.flatMap(({ index }) => (index === undefined ? [] : [index]));
    for (const { layerDigest, layerSizeBytes } of [...partitions, ...indexes, ...(boot?.payloads ?? [])]) {
      const layer = { digest: layerDigest, sizeBytes: layerSizeBytes };
      const hash = createHash(algorithmOf(layerDigest));
      for await (const piece of source.openLayer(image, layer, signal)) hash.update(piece);
      const found = `${algorithmOf(layerDigest)}:${hash.digest('hex')}`;
      if (found !== layerDigest)
        throw new AgentError('digest-mismatch', `cannot use layer ${layerDigest}: its bytes have ${found}`);
      checkedLayers.push(layer);
    }
  }
  return { digest: image.manifestDigest, explanation, problems, checkedLayers };
}
