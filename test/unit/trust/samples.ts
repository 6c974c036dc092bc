import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { ResolvedImage } from '../../../agent/core/ports.ts';
import { parseTrustKey, type TrustKey } from '../../../agent/trust/keys.ts';
import type { SampleImage, SampleManifest } from '../../fakes/sample-image.ts';
import type { TestSigner } from '../../fakes/signer.ts';

export const repository = 'registry.test/os/edge';

/** `image` as a source resolves it, by way of `index` where there is one. */
export function resolved(image: SampleImage, index?: SampleManifest): ResolvedImage {
  return {
    reference: parseReference(`${repository}:v1`),
    resolvedDigest: index?.digest ?? image.manifest.digest,
    indexBytes: index?.bytes,
    manifestDigest: image.manifest.digest,
    manifestBytes: image.manifest.bytes,
    configBytes: image.configBytes,
  };
}

/** The public half of `signer` under the name `id`. */
export function trustKey(id: string, signer: TestSigner): TrustKey {
  return parseTrustKey(id, signer.publicPem);
}

/** The code of the error that `action` throws, or what it returned instead. */
export function codeOf(action: () => unknown): unknown {
  try {
    return { returned: action() };
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
}

/** `bytes` with one bit turned. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = new Uint8Array(bytes);
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}
