import { bundleToJSON } from '@sigstore/bundle';
import {
  fulcioHandler,
  type HandlerFn,
  initializeCA,
  initializeCTLog,
  initializeTLog,
  initializeTSA,
  rekorHandler,
  tsaHandler,
} from '@sigstore/mock';
import { HashAlgorithm, PublicKeyDetails, TrustedRoot } from '@sigstore/protobuf-specs';
import {
  DSSEBundleBuilder,
  FulcioSigner,
  MessageSignatureBundleBuilder,
  RekorWitness,
  type Signer,
  TSAWitness,
  type Witness,
} from '@sigstore/sign';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { SigstoreBundle, SimpleSignature } from '../../agent/core/ports.ts';
import { TestSigner } from './signer.ts';

/** Somebody, as an issuer knows them. */
export interface Identity {
  readonly subject: string;
  readonly issuer: string;
}

/** Which services take part in a signature. */
export interface SignedWith {
  /** Version of the log; `none`: it is not logged. */
  readonly log?: 'v1' | 'v2' | 'none';
  readonly hasTimestamp?: boolean;
}

const statementType = 'application/vnd.in-toto+json';

function keyPair() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/**
 * A Sigstore of its own on loopback: certificate authority with its log, transparency log in both versions, and timestamp
 * authority. All that it attests happens at `atMs`, a minute after its start, as the library behind it makes its root
 * certificates by the clock of the machine. It knows anybody as whoever they say they are.
 */
export class SigstoreAuthority {
  readonly atMs: number;
  /** JSON of the trusted root by which its signatures are verified. */
  readonly trustedRoot: Uint8Array;
  readonly #server: Server;

  private constructor(server: Server, trustedRoot: Uint8Array, atMs: number) {
    this.#server = server;
    this.trustedRoot = trustedRoot;
    this.atMs = atMs;
  }

  /** Starts one; it answers when this resolves. */
  static async start(): Promise<SigstoreAuthority> {
    const atMs = Math.floor(Date.now() / 1000) * 1000 + 60_000;
    const clock = new Date(atMs);
    const keys = { ca: keyPair(), ctlog: keyPair(), tlog: keyPair(), tsa: keyPair() };
    const ctlog = await initializeCTLog(keys.ctlog, clock);
    const ca = await initializeCA(keys.ca, ctlog, clock);
    const tlog = await initializeTLog('https://rekor.test', keys.tlog, clock);
    const tsa = await initializeTSA(keys.tsa, clock);
    const handlers = new Map<string, HandlerFn>(
      [fulcioHandler(ca), rekorHandler(tlog), secondLogHandler(tlog), tsaHandler(tsa)].map(({ path, fn }) => [
        path,
        fn,
      ]),
    );
    const server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        const handler = handlers.get(request.url ?? '');
        if (handler === undefined) return void response.writeHead(404).end();
        void handler(Buffer.concat(pieces).toString()).then((answer) => {
          const body = typeof answer.response === 'string' ? answer.response : bytesOf(answer.response);
          response.writeHead(answer.statusCode, { 'content-type': answer.contentType ?? 'text/plain' }).end(body);
        });
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const since = { start: new Date(atMs - 86_400_000) };
    const log = (publicKey: Buffer) => ({
      baseUrl: 'https://rekor.test',
      hashAlgorithm: HashAlgorithm.SHA2_256,
      publicKey: { rawBytes: publicKey, keyDetails: PublicKeyDetails.PKIX_ECDSA_P256_SHA_256, validFor: since },
      logId: { keyId: createHash('sha256').update(publicKey).digest() },
      checkpointKeyId: undefined,
      operator: 'test',
    });
    const authority = (...certificates: readonly ArrayBufferView<ArrayBuffer>[]) => ({
      subject: { commonName: 'test', organization: 'test' },
      uri: 'https://authority.test',
      certChain: { certificates: certificates.map((one) => ({ rawBytes: bytesOf(one) })) },
      validFor: since,
      operator: 'test',
    });
    const root = TrustedRoot.toJSON({
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [log(tlog.publicKey)],
      ctlogs: [{ ...log(ctlog.publicKey), logId: { keyId: bytesOf(ctlog.logID) } }],
      certificateAuthorities: [authority(ca.rootCertificate)],
      timestampAuthorities: [authority(tsa.intCertificate, tsa.rootCertificate)],
    });
    return new SigstoreAuthority(server, new Uint8Array(Buffer.from(JSON.stringify(root))), atMs);
  }

  /** A bundle over an in-toto statement by a certificate for `who`. */
  async sign(payload: Uint8Array, who: Identity, how: SignedWith = {}): Promise<SigstoreBundle> {
    return this.#bundle(payload, this.#certified(who), how);
  }

  /** A bundle over an in-toto statement by the plain key of `signer`. */
  async signByKey(payload: Uint8Array, signer: TestSigner, how: SignedWith = {}): Promise<SigstoreBundle> {
    return this.#bundle(payload, keyed(signer), how);
  }

  /** A simple signature by a certificate for `who`, or by the plain key of a signer, with what cosign 2 keeps beside it. */
  async signSimple(payload: Uint8Array, who: Identity | TestSigner, how: SignedWith = {}): Promise<SimpleSignature> {
    const signer = who instanceof TestSigner ? keyed(who) : this.#certified(who);
    const builder = new MessageSignatureBundleBuilder({ signer, witnesses: this.#witnesses(how) });
    const made = bundleToJSON(await builder.create({ data: Buffer.from(payload) })) as unknown as MessageBundle;
    const { x509CertificateChain, tlogEntries = [], timestampVerificationData } = made.verificationMaterial;
    const [certificate] = x509CertificateChain?.certificates ?? [];
    const [entry] = tlogEntries;
    const [timestamp] = timestampVerificationData?.rfc3161Timestamps ?? [];
    const attested = {
      ...(certificate === undefined ? {} : { certificate: pemOf(certificate.rawBytes) }),
      ...(entry === undefined ? {} : { logEntry: cosignEntry(entry) }),
      ...(timestamp === undefined
        ? {}
        : { timestamp: JSON.stringify({ SignedRFC3161Timestamp: timestamp.signedTimestamp }) }),
    };
    const { signature } = made.messageSignature;
    return { payload: new Uint8Array(payload), signature, attested, source: 'a signature by Sigstore' };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get #url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #certified({ subject, issuer }: Identity): Signer {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const token = `${part({ alg: 'none' })}.${part({ sub: subject, iss: issuer })}.`;
    return new FulcioSigner({ fulcioBaseURL: this.#url, identityProvider: { getToken: async () => token } });
  }

  #witnesses({ log = 'v1', hasTimestamp = log === 'v2' }: SignedWith): Witness[] {
    const rekorBaseURL = this.#url;
    return [
      ...(log === 'v1' ? [new RekorWitness({ rekorBaseURL, entryType: 'intoto' })] : []),
      ...(log === 'v2' ? [new RekorWitness({ rekorBaseURL, majorApiVersion: 2 })] : []),
      ...(hasTimestamp ? [new TSAWitness({ tsaBaseURL: this.#url })] : []),
    ];
  }

  async #bundle(payload: Uint8Array, signer: Signer, how: SignedWith): Promise<SigstoreBundle> {
    const builder = new DSSEBundleBuilder({ signer, witnesses: this.#witnesses(how) });
    const bundle = await builder.create({ data: Buffer.from(payload), type: statementType });
    return {
      bundle: new Uint8Array(Buffer.from(JSON.stringify(bundleToJSON(bundle)))),
      source: 'a bundle by Sigstore',
    };
  }
}

/** The parts of a bundle over a message that cosign 2 keeps in annotations. */
interface MessageBundle {
  readonly messageSignature: { readonly signature: string };
  readonly verificationMaterial: {
    readonly x509CertificateChain?: { readonly certificates: readonly { readonly rawBytes: string }[] };
    readonly tlogEntries?: readonly MessageEntry[];
    readonly timestampVerificationData?: {
      readonly rfc3161Timestamps: readonly { readonly signedTimestamp: string }[];
    };
  };
}

interface MessageEntry {
  readonly logIndex: string;
  readonly logId: { readonly keyId: string };
  readonly integratedTime: string;
  readonly inclusionPromise: { readonly signedEntryTimestamp: string };
  readonly canonicalizedBody: string;
}

/** The annotation `dev.sigstore.cosign/bundle`. */
function cosignEntry({ logIndex, logId, integratedTime, inclusionPromise, canonicalizedBody }: MessageEntry): string {
  return JSON.stringify({
    SignedEntryTimestamp: inclusionPromise.signedEntryTimestamp,
    Payload: {
      body: canonicalizedBody,
      integratedTime: Number(integratedTime),
      logIndex: Number(logIndex),
      logID: Buffer.from(logId.keyId, 'base64').toString('hex'),
    },
  });
}

function pemOf(der: string): string {
  const lines = der.match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function keyed(signer: TestSigner): Signer {
  const hint = Buffer.from(signer.fingerprint.slice('sha256:'.length), 'hex').toString('base64');
  return {
    sign: async (data) => ({
      signature: signer.sign(data),
      key: { $case: 'publicKey', publicKey: signer.publicPem.toString(), hint },
    }),
  };
}

/** An entry as the first version of Rekor's API answers it. */
interface LogEntry {
  readonly body: string;
  readonly logIndex: number;
  readonly logID: string;
  readonly verification: {
    readonly inclusionProof: { readonly rootHash: string; readonly treeSize: number; readonly checkpoint: string };
  };
}

/**
 * The second version of Rekor's API over the log of the first: an entry of type dsse 0.0.2, proven by inclusion alone and
 * without a time (the library's own handler logs what no verifier reads).
 */
function secondLogHandler(log: Awaited<ReturnType<typeof initializeTLog>>): {
  readonly path: string;
  readonly fn: HandlerFn;
} {
  const fn: HandlerFn = async (request) => {
    const { dsseRequestV002: asked } = JSON.parse(request) as {
      dsseRequestV002: {
        envelope: { payload: string; signatures: readonly { sig: string }[] };
        verifiers: readonly object[];
      };
    };
    const digest = createHash('sha256').update(Buffer.from(asked.envelope.payload, 'base64')).digest('base64');
    const signatures = asked.envelope.signatures.map(({ sig }) => ({ content: sig, verifier: asked.verifiers[0] }));
    const spec = { dsseV002: { payloadHash: { algorithm: 'SHA2_256', digest }, signatures } };
    const entries = (await log.log({ apiVersion: '0.0.2', kind: 'dsse', spec })) as Readonly<Record<string, LogEntry>>;
    const entry = Object.values(entries)[0]!;
    const proof = entry.verification.inclusionProof;
    const response = JSON.stringify({
      logIndex: String(entry.logIndex),
      logId: { keyId: Buffer.from(entry.logID, 'hex').toString('base64') },
      kindVersion: { kind: 'dsse', version: '0.0.2' },
      integratedTime: '0',
      inclusionProof: {
        logIndex: '0',
        rootHash: Buffer.from(proof.rootHash, 'hex').toString('base64'),
        treeSize: String(proof.treeSize),
        hashes: [],
        checkpoint: { envelope: proof.checkpoint },
      },
      canonicalizedBody: entry.body,
    });
    return { statusCode: 201, response, contentType: 'application/json' };
  };
  return { path: '/api/v2/log/entries', fn };
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
