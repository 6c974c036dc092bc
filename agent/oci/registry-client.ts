import type { LookupFunction } from 'node:net';
import { manifestLimits, mediaTypes } from '../core/image-format/manifest.ts';
import { AgentError } from '../core/errors.ts';
import { algorithmOf, digestOf, isDigest } from '../core/image-format/digest.ts';
import type { Clock, Random } from '../core/ports.ts';
import type { CredentialLookup } from './credentials.ts';
import type { HttpAnswer } from './http-answer.ts';
import { HttpClient, type HttpRequest } from './http-client.ts';
import type { StoredManifest } from './image-store.ts';
import { type ClosedRange, formatRange } from './range.ts';
import { type ListedReferrers, readReferrerPages, type ReferrerPage } from './referrer-pages.ts';
import { RetryBudget, type RetryPolicy, withRetries } from './retry.ts';
import { authHostsOf, endpointOf, type RegistrySettings, type TransferLimits } from './settings.ts';
import { statusError } from './status-error.ts';
import { RegistryAuth } from './token-auth.ts';
import type { Scope } from './token-request.ts';

const acceptedTypes: readonly string[] = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerList,
  mediaTypes.dockerManifest,
];

/** What registries are reached with. */
export interface RegistryPorts {
  readonly credentials: CredentialLookup;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: TransferLimits;
  /** How names are looked up; the system's way unless given. */
  readonly lookup?: LookupFunction;
}

/** One request to a registry, as the protocol names it. */
export interface RegistryRequest extends Omit<HttpRequest, 'url' | 'authorization'> {
  /** A path below `/v2/`, or an upload's URL as the registry gave it. */
  readonly path: string | URL;
}

/** One registry's API (OCI distribution-spec): logs in as it is asked to. */
export class RegistryClient {
  /** The registry as references name it. */
  readonly registry: string;
  readonly endpoint: URL;
  readonly #ports: RegistryPorts;
  readonly #http: HttpClient;
  readonly #auth: RegistryAuth;

  constructor(registry: string, settings: RegistrySettings, ports: RegistryPorts) {
    this.registry = registry;
    this.endpoint = endpointOf(registry, settings);
    this.#ports = ports;
    this.#http = new HttpClient(this.endpoint, settings, ports.clock, ports.limits, ports.lookup);
    this.#auth = new RegistryAuth({
      registry,
      owner: {
        endpoint: this.endpoint,
        isInsecure: settings.insecureHttp === true,
        authHosts: authHostsOf(registry, settings),
      },
      http: this.#http,
      credentials: ports.credentials,
      clock: ports.clock,
    });
  }

  /** Sends one request, and once more after logging in. Any status is an answer. */
  async send(request: RegistryRequest, scope: Scope, signal: AbortSignal): Promise<HttpAnswer> {
    const url = typeof request.path === 'string' ? new URL(`/v2/${request.path}`, this.endpoint) : request.path;
    // An upload's URL may lie on another host, which our credentials are not for.
    const isOwn = url.origin === this.endpoint.origin;
    const once = (authorization: string | undefined) =>
      this.#http.send({ ...request, url, authorization: isOwn ? authorization : undefined }, signal);
    const answer = await once(this.#auth.known(scope));
    if (answer.status !== 401 || answer.isForeign || !isOwn) return answer;
    const challenge = answer.header('www-authenticate');
    await answer.skip();
    this.#auth.forget(scope);
    return once(await this.#auth.answer(challenge, scope, signal));
  }

  /** A manifest or index by tag or digest; `undefined` for a 404. The bytes are hashed against the registry's own word. */
  async manifest(name: string, tagOrDigest: string, signal: AbortSignal): Promise<StoredManifest | undefined> {
    const object = `${this.registry}/${name}${isDigest(tagOrDigest) ? '@' : ':'}${tagOrDigest}`;
    const request: RegistryRequest = {
      method: 'GET',
      path: `${name}/manifests/${tagOrDigest}`,
      headers: { accept: acceptedTypes.join(', ') },
    };
    return this.retried(async () => {
      const answer = await this.#found(request, { name, actions: 'pull' }, object, signal);
      if (answer === undefined) return undefined;
      const mediaType = (answer.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
      const bytes = await answer.bytes(manifestLimits.manifestBytes);
      checkAnnounced(bytes, answer.header('docker-content-digest'), object);
      if (!acceptedTypes.includes(mediaType)) throw this.#strangeType(object, mediaType);
      return { bytes, mediaType };
    }, signal);
  }

  /** A small blob; `undefined` for a 404. */
  async blob(name: string, digest: string, limitBytes: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const request: RegistryRequest = { method: 'GET', path: `${name}/blobs/${digest}` };
    return this.retried(async () => {
      const object = `${this.registry}/${name}@${digest}`;
      const answer = await this.#found(request, { name, actions: 'pull' }, object, signal);
      return answer?.bytes(limitBytes);
    }, signal);
  }

  /**
   * The registry's list of referrers (distribution-spec, "Listing Referrers"), page by page; `undefined` where the registry
   * has no such API, by a 404 or another answer that has no place in the protocol.
   */
  async referrers(
    name: string,
    digest: string,
    artifactType: string,
    signal: AbortSignal,
  ): Promise<ListedReferrers | undefined> {
    const query = new URLSearchParams({ artifactType }).toString();
    const first = new URL(`/v2/${name}/referrers/${digest}?${query}`, this.endpoint);
    const object = `the referrers of ${this.registry}/${name}@${digest}`;
    // One budget for all pages, and one time: a registry must not be slow again for each of them.
    const budget = this.budget();
    const { clock, limits } = this.#ports;
    const endMs = clock.monotonicMs() + limits.answerTimeoutMs;
    const read = async (path: URL, limitBytes: number): Promise<ReferrerPage | undefined> => {
      const answer = await this.send(
        { method: 'GET', path, headers: { accept: mediaTypes.ociIndex } },
        { name, actions: 'pull' },
        signal,
      );
      if (answer.status === 200) {
        // Relative links of an answer from elsewhere would be taken for the registry's own.
        const links = answer.isForeign ? undefined : answer.header('link');
        return { bytes: await answer.bytes(limitBytes), links };
      }
      const error = await statusError(answer, 'fetch', object, clock);
      if (error.code === 'image-not-found' || error.code === 'registry-protocol-invalid') return undefined;
      throw error;
    };
    return readReferrerPages(first, (url, limitBytes) => {
      if (clock.monotonicMs() > endMs) {
        throw new AgentError(
          'response-too-large',
          `cannot fetch ${object}: it took more than ${limits.answerTimeoutMs} ms`,
        );
      }
      return withRetries(budget, () => read(url, limitBytes), signal);
    });
  }

  /** Opens a blob, or a range of it. Resolves to a 200, 206 or 416; tried once only. */
  async openBlob(
    name: string,
    digest: string,
    range: ClosedRange | undefined,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const headers = range === undefined ? {} : { range: formatRange(range) };
    const request: RegistryRequest = { method: 'GET', path: `${name}/blobs/${digest}`, headers };
    const answer = await this.send(request, { name, actions: 'pull' }, signal);
    if ([200, 206, 416].includes(answer.status)) return answer;
    throw await statusError(answer, 'fetch', `${this.registry}/${name}@${digest}`, this.#ports.clock);
  }

  /** The error of an answer that says no. */
  refusal(answer: HttpAnswer, verb: string, object: string): Promise<AgentError> {
    return statusError(answer, verb, object, this.#ports.clock);
  }

  /** A fresh budget of attempts; `retry` of the limits where no policy is given. */
  budget(policy: RetryPolicy = this.#ports.limits.retry): RetryBudget {
    return new RetryBudget(policy, this.#ports.clock, this.#ports.random);
  }

  /** A fresh budget of attempts for a layer. */
  layerBudget(): RetryBudget {
    return this.budget(this.#ports.limits.layerRetry);
  }

  /** Runs `operation` with the attempts that small requests have. */
  retried<T>(operation: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return withRetries(this.budget(), operation, signal);
  }

  /** Closes the idle connections. */
  close(): void {
    this.#http.close();
  }

  async #found(request: RegistryRequest, scope: Scope, object: string, signal: AbortSignal) {
    const answer = await this.send(request, scope, signal);
    if (answer.status === 200) return answer;
    const error = await statusError(answer, 'fetch', object, this.#ports.clock);
    if (error.code === 'image-not-found') return undefined;
    throw error;
  }

  #strangeType(object: string, mediaType: string): AgentError {
    const isOld = mediaType.startsWith('application/vnd.docker.distribution.manifest.v1+');
    const reason = isOld
      ? "it is in Docker's schema 1, push it again"
      : 'is something else answering for the registry?';
    return new AgentError(
      'registry-protocol-invalid',
      `cannot fetch ${object}: the answer is ${mediaType.slice(0, 100) || 'of no type'}; ${reason}`,
      { details: { mediaType: mediaType.slice(0, 100) } },
    );
  }
}

/** A registry that contradicts itself has damaged content, or something in between changed it. */
function checkAnnounced(bytes: Uint8Array, announced: string | undefined, object: string): void {
  if (announced === undefined || !isDigest(announced)) return;
  const found = digestOf(bytes, algorithmOf(announced));
  if (found === announced) return;
  throw new AgentError(
    'digest-mismatch',
    `cannot use ${object}: its bytes have ${found}, the registry says ${announced}`,
    {
      details: { wanted: announced, found },
    },
  );
}
