import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { type RegistryAuthOptions, RegistryGuard } from './registry-auth.ts';
import { RegistryContent } from './registry-content.ts';
import { FaultPlan } from './registry-faults.ts';
import { type Answer, sendAnswer } from './registry-send.ts';

/** How an embedded registry is started. */
export interface RegistryOptions {
  /** A free one when it is left out. */
  readonly port?: number;
  readonly auth?: RegistryAuthOptions;
  /** Whether it lists referrers itself; else there is a 404, and clients keep a list at a tag. */
  readonly listsReferrers?: boolean;
  /** How many referrers are on a page of its list; all unless given. */
  readonly referrersPerPage?: number;
  /** Whether blobs are redirected to a second listener, which refuses requests with an Authorization header. */
  readonly isRedirecting?: boolean;
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Whose certificates clients have to show to the registry itself; the second listener asks for one and takes none, too. */
  readonly clientCa?: string;
  /** `127.0.0.1` unless given. */
  readonly address?: '127.0.0.1' | '::1';
}

/** A request that the registry saw. */
export interface SeenRequest {
  readonly at: 'registry' | 'storage';
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
  /** Whether the client showed a certificate. */
  readonly isCertified: boolean;
}

function json(status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  const body = Buffer.from(JSON.stringify(value));
  return { status, headers: { 'content-type': 'application/json', ...headers }, body };
}

function refusal(status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return json(status, { errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] }, headers);
}

function empty(status: number, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers, body: Buffer.alloc(0) };
}

/** The whole body; `undefined` when the sender broke off. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  try {
    for await (const piece of request) pieces.push(piece as Buffer);
  } catch (error) {
    if (request.complete) throw error;
    return undefined;
  }
  return Buffer.concat(pieces);
}

function blobAnswer(blob: Buffer, range: string | undefined): Answer {
  const headers = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes' };
  const asked = /^bytes=(\d+)-(\d*)$/.exec(range ?? '');
  if (asked === null) return { status: 200, headers, body: blob };
  const start = Number(asked[1]);
  const end = Math.min(asked[2] === '' ? Number.POSITIVE_INFINITY : Number(asked[2]), blob.byteLength - 1);
  if (start > end) return empty(416, { 'content-range': `bytes */${blob.byteLength}` });
  return {
    status: 206,
    headers: { ...headers, 'content-range': `bytes ${start}-${end}/${blob.byteLength}` },
    body: blob.subarray(start, end + 1),
  };
}

async function listen(server: Server, port: number, address: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
  return (server.address() as AddressInfo).port;
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
}

/** An OCI registry in this process, on loopback and in memory, that can be told to fail. */
export class EmbeddedRegistry {
  readonly content = new RegistryContent();
  readonly faults = new FaultPlan();
  readonly requests: SeenRequest[] = [];
  readonly guard: RegistryGuard | undefined;
  /** Bytes of bodies that connections took, in all. */
  sentBytes = 0;
  readonly #options: RegistryOptions;
  readonly #server: Server;
  readonly #storage: Server;
  #port = 0;
  #storagePort = 0;
  #linkGeneration = 0;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.guard = options.auth === undefined ? undefined : new RegistryGuard(options.auth);
    const front: RequestListener = (request, response) => void this.#serve(request, response, 'registry');
    const back: RequestListener = (request, response) => void this.#serve(request, response, 'storage');
    const { tls, clientCa } = options;
    const asking = clientCa === undefined ? {} : { ca: clientCa, requestCert: true };
    this.#server = tls === undefined ? createServer(front) : createTlsServer({ ...tls, ...asking }, front);
    this.#storage =
      tls === undefined ? createServer(back) : createTlsServer({ ...tls, ...asking, rejectUnauthorized: false }, back);
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:PORT`, or `[::1]:PORT`, as references name it. */
  get host(): string {
    return `${this.#options.address === '::1' ? '[::1]' : '127.0.0.1'}:${this.#port}`;
  }

  get url(): string {
    return `${this.#options.tls === undefined ? 'http' : 'https'}://${this.host}`;
  }

  async start(): Promise<void> {
    const { port = 0, address = '127.0.0.1', isRedirecting } = this.#options;
    this.#port = await listen(this.#server, port, address);
    if (isRedirecting === true) this.#storagePort = await listen(this.#storage, 0, '127.0.0.1');
  }

  /** How many connections are open to the registry itself. */
  async openConnections(): Promise<number> {
    return promisify(this.#server.getConnections.bind(this.#server))();
  }

  /** Makes every redirect given so far answer 403, as an expired presigned link does. */
  expireLinks(): void {
    this.#linkGeneration += 1;
  }

  async close(): Promise<void> {
    await closeServer(this.#server);
    if (this.#storagePort !== 0) await closeServer(this.#storage);
  }

  async #serve(request: IncomingMessage, response: ServerResponse, at: SeenRequest['at']): Promise<void> {
    const { method = '', url: path = '' } = request;
    const { authorization, range } = request.headers;
    const { socket } = request;
    const isCertified = socket instanceof TLSSocket && Object.keys(socket.getPeerCertificate()).length > 0;
    this.requests.push({ at, method, path, authorization, range, isCertified });
    const fault = this.faults.take(`${method} ${path}`);
    const heeded = fault?.kind === 'ignore-range' ? undefined : range;
    const url = new URL(path, this.url);
    const answer =
      at === 'storage' ? this.#fromStorage(url, authorization, heeded) : await this.#answer(request, url, heeded);
    await sendAnswer(response, answer, fault, (sizeBytes) => {
      this.sentBytes += sizeBytes;
    });
  }

  #fromStorage(url: URL, authorization: string | undefined, range: string | undefined): Answer {
    // S3 does so: two ways to prove who one is are an error.
    if (authorization !== undefined) return empty(400);
    if (url.searchParams.get('signature') !== `secret-${this.#linkGeneration}`) return empty(403);
    const [, name = '', digest = ''] = /^\/(.+)\/([^/]+)$/.exec(url.pathname) ?? [];
    const blob = this.content.blob(name, digest);
    return blob === undefined ? empty(404) : blobAnswer(blob, range);
  }

  async #answer(request: IncomingMessage, url: URL, range: string | undefined): Promise<Answer> {
    const body = await bodyOf(request);
    if (body === undefined) return empty(400);
    if (url.pathname === '/token' && this.guard !== undefined) {
      const issued = this.guard.issue(request, url, body.toString());
      return issued === undefined ? refusal(401, 'UNAUTHORIZED') : json(200, JSON.parse(issued));
    }
    const [, name = '', kind = '', rest = ''] =
      /^\/v2\/(?:(.+)\/(manifests|blobs|tags|referrers)\/(.*))?$/.exec(url.pathname) ?? [];
    const challenge = this.guard?.challenge(request, name, this.url);
    if (challenge !== undefined) return refusal(401, 'UNAUTHORIZED', { 'www-authenticate': challenge });
    if (url.pathname === '/v2/') return json(200, {});
    if (kind === 'manifests') return this.#manifest(request, name, rest, body);
    if (kind === 'blobs' && rest.startsWith('uploads/')) {
      return this.#upload(request, url, name, rest.slice('uploads/'.length), body);
    }
    if (kind === 'referrers' && this.#options.listsReferrers === true) {
      return this.#referrers(url, name, rest);
    }
    return kind === 'blobs' ? this.#blob(name, rest, range) : refusal(404, 'UNSUPPORTED');
  }

  #referrers(url: URL, name: string, digest: string): Answer {
    const list = this.content.referrers(name, digest, url.searchParams.get('artifactType'));
    const { referrersPerPage: size = list.manifests.length } = this.#options;
    const start = Number(url.searchParams.get('start') ?? '0');
    const next = new URL(url);
    next.searchParams.set('start', String(start + size));
    const link = start + size < list.manifests.length ? { link: `<${next.pathname}${next.search}>; rel="next"` } : {};
    const page = { ...list, manifests: list.manifests.slice(start, start + size) };
    return json(200, page, { 'content-type': list.mediaType, ...link });
  }

  #manifest(request: IncomingMessage, name: string, tagOrDigest: string, body: Buffer): Answer {
    if (request.method === 'PUT') {
      const tag = tagOrDigest.includes(':') ? undefined : tagOrDigest;
      const mediaType = request.headers['content-type'] ?? '';
      const digest = this.content.putManifest(name, body, mediaType, tag);
      if (tag === undefined && digest !== tagOrDigest) return refusal(400, 'DIGEST_INVALID');
      const headers = { location: `/v2/${name}/manifests/${digest}`, 'docker-content-digest': digest };
      const { subject } = JSON.parse(body.toString()) as { readonly subject?: { readonly digest: string } };
      const isListed = subject !== undefined && this.#options.listsReferrers === true;
      return empty(201, isListed ? { ...headers, 'oci-subject': subject.digest } : headers);
    }
    const held = this.content.manifest(name, tagOrDigest);
    if (held === undefined) return refusal(404, 'MANIFEST_UNKNOWN');
    if (!(request.headers.accept ?? '').includes(held.mediaType)) return refusal(404, 'MANIFEST_UNKNOWN');
    const headers = { 'content-type': held.mediaType, 'docker-content-digest': held.digest };
    return { status: 200, headers, body: held.bytes };
  }

  #blob(name: string, digest: string, range: string | undefined): Answer {
    const blob = this.content.blob(name, digest);
    if (blob === undefined) return refusal(404, 'BLOB_UNKNOWN');
    if (this.#storagePort === 0) return blobAnswer(blob, range);
    const scheme = this.#options.tls === undefined ? 'http' : 'https';
    const query = `signature=secret-${this.#linkGeneration}`;
    return empty(307, { location: `${scheme}://127.0.0.1:${this.#storagePort}/${name}/${digest}?${query}` });
  }

  #upload(request: IncomingMessage, url: URL, name: string, id: string, body: Buffer): Answer {
    if (request.method === 'POST') {
      return empty(202, { location: `/v2/${name}/blobs/uploads/${this.content.startUpload()}?state=1` });
    }
    const sizeBytes = this.content.appendUpload(id, body);
    if (sizeBytes === undefined) return refusal(404, 'BLOB_UPLOAD_UNKNOWN');
    if (request.method === 'PATCH') {
      const location = `/v2/${name}/blobs/uploads/${id}?state=${sizeBytes}`;
      return empty(202, { location, range: `0-${Math.max(0, sizeBytes - 1)}` });
    }
    const digest = url.searchParams.get('digest') ?? '';
    if (!this.content.finishUpload(id, name, digest)) return refusal(400, 'DIGEST_INVALID');
    return empty(201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest });
  }
}

/** Starts a registry on 127.0.0.1; it answers when this resolves. */
export async function startRegistry(options: RegistryOptions = {}): Promise<EmbeddedRegistry> {
  const registry = new EmbeddedRegistry(options);
  await registry.start();
  return registry;
}
