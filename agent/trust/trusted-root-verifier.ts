import { bundleFromJSON } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { type SignedEntity, toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { AgentError } from '../core/errors.ts';
import type { SimpleSignature } from '../core/ports.ts';
import { bundleOfSimple } from './attested-signature.ts';
import type { TrustKey } from './keys.ts';
import type { SigstoreVerdict, SigstoreVerifier } from './sigstore.ts';

const maxRootBytes = 1024 * 1024;
const rootTypes = [
  'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
  'application/vnd.dev.sigstore.trustedroot.v0.2+json',
];
const reasonLimit = 300;

function refuse(reason: string, cause?: unknown): AgentError {
  return new AgentError('config-invalid', `cannot use trust.trustedRoot: ${reason}`, {
    details: { path: 'trust.trustedRoot' },
    cause,
  });
}

/** Verifies by a trusted root; no network, no clock. All of Sigstore's cryptography is the library's. */
export class TrustedRootVerifier implements SigstoreVerifier {
  readonly #root: TrustedRoot;

  private constructor(root: TrustedRoot) {
    this.#root = root;
  }

  /** Reads a trusted root. Throws `config-invalid`. */
  static parse(bytes: Uint8Array): TrustedRootVerifier {
    if (bytes.byteLength > maxRootBytes) {
      throw refuse(`it has ${bytes.byteLength} bytes, the limit is ${maxRootBytes}`);
    }
    let root: TrustedRoot;
    try {
      root = TrustedRoot.fromJSON(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
      // What it holds is parsed here and not at the first image.
      toTrustMaterial(root);
    } catch (cause) {
      throw refuse(`it does not parse: ${reasonOf(cause)}`, cause);
    }
    if (!rootTypes.includes(root.mediaType)) throw refuse(`its mediaType is ${root.mediaType.slice(0, 100)}`);
    // The library takes a log without a beginning for one that was always trusted.
    const undated = [...root.tlogs, ...root.ctlogs].some(({ publicKey }) => publicKey?.validFor?.start === undefined);
    if (undated) throw refuse('a log in it does not say since when it is valid (publicKey.validFor.start)');
    return new TrustedRootVerifier(root);
  }

  verifyByCertificate(bundle: Uint8Array): SigstoreVerdict {
    return this.#verify(() => entityOf(bundle), undefined);
  }

  verifyLogged(bundle: Uint8Array, key: TrustKey): SigstoreVerdict {
    return this.#verify(() => entityOf(bundle), key);
  }

  verifySimple(signature: SimpleSignature, key: TrustKey | undefined): SigstoreVerdict {
    return this.#verify(() => {
      const bundle = bundleFromJSON(bundleOfSimple(signature, key !== undefined));
      return toSignedEntity(bundle, Buffer.from(signature.payload));
    }, key);
  }

  #verify(open: () => SignedEntity, key: TrustKey | undefined): SigstoreVerdict {
    try {
      const entity = open();
      const isByKey = entity.key.$case === 'public-key';
      if (isByKey !== (key !== undefined)) return { problem: `a ${isByKey ? 'key' : 'certificate'} made it` };
      const material = toTrustMaterial(this.#root, () => {
        if (key === undefined) throw new Error('no key is trusted here');
        // When a key is valid is what the configuration says, and is judged with the rule.
        return { publicKey: key.keyObject, validFor: () => true };
      });
      const thresholds =
        key === undefined
          ? { ctlogThreshold: 1, tlogThreshold: 1, timestampThreshold: 1 }
          : { ctlogThreshold: 0, tlogThreshold: 1, timestampThreshold: 0 };
      // No policy: the library compares subjects as regular expressions, unanchored.
      const { identity } = new Verifier(material, thresholds).verify(entity);
      const signedAtMs = earliestTime(entity);
      if (key !== undefined) return { identity: undefined, signedAtMs };
      const subject = identity?.subjectAlternativeName;
      const issuer = identity?.extensions?.issuer;
      return subject === undefined || issuer === undefined
        ? { problem: 'its certificate names no subject or no issuer' }
        : { identity: { issuer, subject }, signedAtMs };
    } catch (error) {
      return { problem: reasonOf(error) };
    }
  }
}

function entityOf(bundle: Uint8Array): SignedEntity {
  return toSignedEntity(bundleFromJSON(JSON.parse(Buffer.from(bundle).toString('utf8'))));
}

/** The earliest time that the verifier has verified in `entity`. */
function earliestTime({ timestamps }: SignedEntity): number | undefined {
  const times = timestamps.flatMap((one) => {
    if (one.$case === 'timestamp-authority') return [one.timestamp.signingTime.getTime()];
    // Only a promise of the log covers the time that an entry states.
    return one.tlogEntry.inclusionPromise === undefined ? [] : [Number(one.tlogEntry.integratedTime) * 1000];
  });
  return times.length === 0 ? undefined : Math.min(...times);
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, reasonLimit);
}
