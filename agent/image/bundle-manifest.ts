import { emptyConfig } from '../core/image-format/patch-manifest.ts';
import { digestOf } from '../core/image-format/digest.ts';
import { mediaTypes } from '../core/image-format/manifest.ts';
import { bundleMediaType } from '../oci/bundle-store.ts';
import type { Referrer } from '../oci/referrers.ts';
import { preAuthEncoding } from '../trust/dsse.ts';
import { openEvidence } from '../trust/open-evidence.ts';
import { isSignatureStatement, signaturePredicateType, statementPayloadType } from '../trust/statement.ts';
import type { SigningKey } from './private-key.ts';

/** What is signed: a manifest or index, as a descriptor names it. */
export interface SignedSubject {
  readonly mediaType: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

/** A manifest that refers to a subject, what a list says of it, and its blobs. */
export interface BundleManifest {
  readonly bytes: Uint8Array;
  readonly referrer: Referrer;
  readonly blobs: readonly Uint8Array[];
}

/** Tells the bundles of one image apart in a list, where a newer one by the same key replaces the older. */
const keyAnnotation = 'io.kaon.signature.key';

const encode = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** A Sigstore bundle v0.3 with a signature of `subjectDigest` by a plain key, as cosign 3 writes one. */
export function signatureBundle(subjectDigest: string, key: SigningKey): Uint8Array {
  const [algorithm = '', hex = ''] = subjectDigest.split(':');
  const statement = encode({
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { [algorithm]: hex } }],
    predicateType: signaturePredicateType,
    predicate: {},
  });
  const signature = key.sign(preAuthEncoding(statementPayloadType, statement));
  // cosign's hint: base64 of the SHA-256 of the key's SPKI form.
  const hint = Buffer.from(key.publicKey.fingerprint.replace(/^sha256:/, ''), 'hex').toString('base64');
  return encode({
    mediaType: bundleMediaType,
    verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
    dsseEnvelope: {
      payload: Buffer.from(statement).toString('base64'),
      payloadType: statementPayloadType,
      signatures: [{ sig: Buffer.from(signature).toString('base64'), keyid: '' }],
    },
  });
}

/** Whether `bundle` holds a signature of `subjectDigest` by `key`. */
export function isBundleBy(bundle: Uint8Array, subjectDigest: string, { publicKey }: SigningKey): boolean {
  const opened = openEvidence({ keys: [publicKey] }, { bundle, source: '' });
  if (opened.result !== 'opened' || opened.signed?.kind !== 'statement') return false;
  const { statement } = opened.signed;
  return isSignatureStatement(statement) && statement.subjectDigests.includes(subjectDigest);
}

/** The manifest that carries `bundle` as a referrer of `subject`, laid out as cosign 3 does. */
export function bundleManifest(subject: SignedSubject, bundle: Uint8Array, { publicKey }: SigningKey): BundleManifest {
  const annotations = {
    'dev.sigstore.bundle.content': 'dsse-envelope',
    'dev.sigstore.bundle.predicateType': signaturePredicateType,
    [keyAnnotation]: publicKey.fingerprint,
  };
  const bytes = encode({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: bundleMediaType,
    config: {
      mediaType: 'application/vnd.oci.empty.v1+json',
      digest: digestOf(emptyConfig),
      size: emptyConfig.byteLength,
    },
    layers: [{ mediaType: bundleMediaType, digest: digestOf(bundle), size: bundle.byteLength }],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.sizeBytes },
    annotations,
  });
  const referrer = {
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(bytes),
    sizeBytes: bytes.byteLength,
    artifactType: bundleMediaType,
    annotations,
  };
  return { bytes, referrer, blobs: [emptyConfig, bundle] };
}
