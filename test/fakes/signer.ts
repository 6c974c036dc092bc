import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { SigstoreBundle, SimpleSignature } from '../../agent/core/ports.ts';

/** The kinds of key that a trust policy takes. */
export type SignerKind = 'ed25519' | 'ecdsa-p256' | 'rsa';

/** Signs as cosign and DSSE signers do, by `node:crypto` alone, so that it cross-checks what the agent signs and verifies. */
export class TestSigner {
  readonly kind: SignerKind;
  /** SPKI PEM. */
  readonly publicPem: Buffer;
  /** PKCS #8 PEM. */
  readonly privatePem: string;
  /** `sha256:…` of the SPKI bytes. */
  readonly fingerprint: string;
  readonly #privateKey: KeyObject;

  constructor(kind: SignerKind, publicKey: KeyObject, privateKey: KeyObject) {
    this.kind = kind;
    this.publicPem = Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }));
    this.privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    this.fingerprint = `sha256:${createHash('sha256').update(spki).digest('hex')}`;
    this.#privateKey = privateKey;
  }

  /** Pure Ed25519; ECDSA over SHA-256 in DER; RSA PKCS #1 v1.5 over SHA-256. */
  sign(message: Uint8Array): Buffer {
    return sign(this.kind === 'ed25519' ? null : 'sha256', message, this.#privateKey);
  }

  /** A signature of `payload` as it is found beside an image. */
  evidence(payload: Uint8Array, source = `a signature by ${this.kind}`): SimpleSignature {
    return { payload: new Uint8Array(payload), signature: this.sign(payload).toString('base64'), source };
  }

  /** A signature of the image with `digest`. */
  signImage(digest: string, source?: string): SimpleSignature {
    return this.evidence(simpleSigningPayload(digest), source);
  }
}

/** in-toto statement of cosign's signature of the image with `digest`, as its version 3 writes it. */
export function signatureStatement(digest: string, changes: object = {}): Buffer {
  const [algorithm = '', hex = ''] = digest.split(':');
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { [algorithm]: hex } }],
    predicateType: 'https://sigstore.dev/cosign/sign/v1',
    predicate: {},
    ...changes,
  };
  return Buffer.from(JSON.stringify(statement));
}

/** A Sigstore bundle v0.3 by a plain key; `changes` replace fields of it. */
export function keyBundle(signer: TestSigner, payload: Uint8Array, changes: object = {}): SigstoreBundle {
  const envelope = dsseEnvelope('application/vnd.in-toto+json', payload, [signer]);
  const bundle = {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: {
      publicKey: { hint: Buffer.from(signer.fingerprint.slice('sha256:'.length), 'hex').toString('base64') },
      tlogEntries: [],
    },
    dsseEnvelope: { ...envelope, signatures: envelope.signatures.map(({ sig }) => ({ sig, keyid: '' })) },
    ...changes,
  };
  return { bundle: new Uint8Array(Buffer.from(JSON.stringify(bundle))), source: `a bundle by ${signer.kind}` };
}

/** A bundle that signs the image with `digest`. */
export function imageBundle(signer: TestSigner, digest: string): SigstoreBundle {
  return keyBundle(signer, signatureStatement(digest));
}

/** Makes a key pair; RSA keys have 2048 bits. */
export function makeSigner(kind: SignerKind): TestSigner {
  const { publicKey, privateKey } = makePair(kind);
  return new TestSigner(kind, publicKey, privateKey);
}

function makePair(kind: SignerKind): { publicKey: KeyObject; privateKey: KeyObject } {
  switch (kind) {
    case 'ed25519':
      return generateKeyPairSync('ed25519');
    case 'ecdsa-p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
  }
}

/** cosign's simple signing payload; `reference` is what nobody but people reads. */
export function simpleSigningPayload(digest: string, reference = 'registry.test/os/edge'): Buffer {
  const identity = `{"docker-reference":${JSON.stringify(reference)}}`;
  const image = `{"docker-manifest-digest":${JSON.stringify(digest)}}`;
  const type = '"cosign container image signature"';
  return Buffer.from(`{"critical":{"identity":${identity},"image":${image},"type":${type}},"optional":null}`);
}

/** A DSSE envelope with one signature of each signer (DSSE v1, "Signature Definition"). */
export function dsseEnvelope(
  payloadType: string,
  payload: Uint8Array,
  signers: readonly TestSigner[],
): { payloadType: string; payload: string; signatures: { keyid: string; sig: string }[] } {
  const type = Buffer.from(payloadType);
  const head = Buffer.concat([Buffer.from(`DSSEv1 ${type.byteLength} `), type, Buffer.from(` ${payload.byteLength} `)]);
  const signed = Buffer.concat([head, payload]);
  const signatures = signers.map((signer) => ({
    keyid: signer.fingerprint,
    sig: signer.sign(signed).toString('base64'),
  }));
  return { payloadType, payload: Buffer.from(payload).toString('base64'), signatures };
}
