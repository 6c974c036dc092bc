import type { SimpleSignature } from '../core/ports.ts';
import type { TrustIdentity } from './identities.ts';
import type { TrustKey } from './keys.ts';

/** What Sigstore's services attest of a bundle, or why they do not. */
export type SigstoreVerdict =
  | {
      /** Of the certificate; `undefined` for a bundle by a key. */
      readonly identity: Pick<TrustIdentity, 'issuer' | 'subject'> | undefined;
      /** The earliest time that a log or a timestamp authority states; `undefined` where none does. */
      readonly signedAtMs: number | undefined;
    }
  | { readonly problem: string };

/** Holds bundles against the certificate authorities, logs and timestamp authorities of a trusted root. */
export interface SigstoreVerifier {
  /**
   * Whether a certificate of a trusted authority made the signature, logged and at a time that is attested. Whose
   * certificate it is, is for the caller to judge. Never throws.
   */
  verifyByCertificate(bundle: Uint8Array): SigstoreVerdict;
  /** Whether the signature of `key` in the bundle is in a trusted log. Never throws. */
  verifyLogged(bundle: Uint8Array, key: TrustKey): SigstoreVerdict;
  /** The same of a simple signature by what attests it: by `key`, or where there is none by a certificate. Never throws. */
  verifySimple(signature: SimpleSignature, key: TrustKey | undefined): SigstoreVerdict;
}

/**
 * A verifier by the trusted root in `root` (JSON of Sigstore's TrustedRoot). Its library is loaded only now, as most
 * nodes have rules about keys alone. Rejects with `config-invalid`.
 */
export async function loadSigstore(root: Uint8Array): Promise<SigstoreVerifier> {
  const { TrustedRootVerifier } = await import('./trusted-root-verifier.ts');
  return TrustedRootVerifier.parse(root);
}
