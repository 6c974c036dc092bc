import type { LookupFunction } from 'node:net';
import { Readable } from 'node:stream';
import fetch, { FetchError, type Response } from 'node-fetch';
import { AgentError } from '../core/errors.ts';
import type { Clock } from '../core/ports.ts';
import { forbiddenAddress } from './guarded-lookup.ts';
import { HttpAgents } from './http-agents.ts';
import { HttpAnswer } from './http-answer.ts';
import { describeUrl, redirectTarget } from './redirect.ts';
import type { RegistrySettings, TransferLimits } from './settings.ts';
import { StallWatch } from './stall-watch.ts';

const maxRedirects = 5;
const redirects: readonly number[] = [301, 302, 303, 307, 308];

/** One request. `authorization` is sent to the URL's own origin only, also after redirects. */
export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly authorization?: string | undefined;
  /** A stream, made anew for each attempt, must come with a Content-Length header and tell of the bytes it gives. */
  readonly body?: string | Buffer | ((onBytes: () => void) => Readable);
}

/** What trying again does not help with, and what does. */
const hints: readonly { readonly reasons: RegExp; readonly text: string }[] = [
  { reasons: /EPROTO|WRONG_VERSION/, text: ' (no TLS there); a registry in plain http has to be marked insecureHttp' },
  {
    reasons: /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/,
    text: '; check its certificate and the clock, or name its CA as caFile of the registry',
  },
  { reasons: /PROXY_REFUSED/, text: '; check the proxy of the registry and its password' },
];

/** What went wrong below HTTP; the error of the library is not kept, as it quotes the URL with its query. */
function transportError(error: unknown, from: string): AgentError {
  const code = error instanceof FetchError ? error.code : undefined;
  const reason = code ?? (error instanceof Error && !(error instanceof FetchError) ? error.name : 'no answer');
  if (reason.startsWith('HPE_')) {
    return new AgentError('registry-protocol-invalid', `cannot read the answer of ${from}: it is no HTTP (${reason})`, {
      details: { from, reason },
    });
  }
  if (reason === forbiddenAddress) {
    return new AgentError(
      'registry-protocol-invalid',
      `cannot reach ${from}: its name stands for an address of this node itself or of its link`,
      { details: { from } },
    );
  }
  const hint = hints.find(({ reasons }) => reasons.test(reason));
  const details = { from, reason, ...(hint === undefined ? {} : { isFinal: true }) };
  return new AgentError('registry-unreachable', `cannot reach ${from}: ${reason}${hint?.text ?? ''}`, { details });
}

/** How long an answer may take. */
export type WaitLimits = Pick<TransferLimits, 'stallTimeoutMs' | 'slowestBytes' | 'answerTimeoutMs'>;

/** Requests to one registry over node-fetch: redirects by hand, no compression, keep-alive, stall timeouts. */
export class HttpClient {
  readonly #settings: RegistrySettings;
  readonly #clock: Clock;
  readonly #limits: WaitLimits;
  readonly #agents: HttpAgents;
  readonly #endpoint: URL;

  /** `endpoint` is the registry's own, which alone is shown a client certificate. */
  constructor(endpoint: URL, settings: RegistrySettings, clock: Clock, limits: WaitLimits, lookup?: LookupFunction) {
    this.#endpoint = endpoint;
    this.#settings = settings;
    this.#clock = clock;
    this.#limits = limits;
    this.#agents = new HttpAgents(endpoint, settings, lookup);
  }

  /**
   * Sends `request` and follows at most five redirects of a GET. Any status is an answer. Rejects with
   * `registry-unreachable`, `registry-protocol-invalid`, or the signal's reason.
   */
  async send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    let { url } = request;
    let isOwnOrigin = true;
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const answer = await this.#once(request, url, isOwnOrigin, signal);
      if (!redirects.includes(answer.status)) return answer;
      const location = answer.header('location');
      await answer.skip();
      if (request.method !== 'GET') {
        throw new AgentError(
          'registry-protocol-invalid',
          `cannot ${request.method} ${answer.from}: it redirects, which is followed for GET only`,
        );
      }
      const target = redirectTarget(url, location);
      isOwnOrigin &&= target.origin === url.origin;
      url = target;
    }
    throw new AgentError(
      'registry-protocol-invalid',
      `cannot fetch ${describeUrl(request.url)}: more than ${maxRedirects} redirects`,
    );
  }

  /** Closes the idle connections. */
  close(): void {
    this.#agents.close();
  }

  async #once(request: HttpRequest, url: URL, isOwnOrigin: boolean, signal: AbortSignal): Promise<HttpAnswer> {
    signal.throwIfAborted();
    const from = describeUrl(url);
    if (url.protocol === 'http:' && this.#settings.insecureHttp !== true) {
      throw new AgentError('registry-protocol-invalid', `cannot use ${from}: plain http is not allowed here`);
    }
    const { stallTimeoutMs, slowestBytes, answerTimeoutMs } = this.#limits;
    const watch = new StallWatch(this.#clock, stallTimeoutMs, slowestBytes);
    const source = new AbortController();
    const body = typeof request.body === 'function' ? request.body(() => watch.noteProgress()) : request.body;
    // A failing source would show as a broken connection; its own error is the one to tell.
    if (body instanceof Readable) body.once('error', (error) => source.abort(error));
    try {
      const anyEnd = AbortSignal.any([signal, source.signal, watch.signal]);
      const response = await watch.during(this.#fetch({ ...request, url }, body, isOwnOrigin, anyEnd));
      watch.noteProgress();
      const answer = new HttpAnswer(response, { from, isForeign: !isOwnOrigin, watch, answerTimeoutMs, signal });
      this.#refuseEncoding(answer);
      return answer;
    } catch (error) {
      watch.end();
      signal.throwIfAborted();
      source.signal.throwIfAborted();
      if (watch.signal.aborted) {
        throw new AgentError('registry-unreachable', `cannot reach ${from}: no answer for ${stallTimeoutMs} ms`, {
          details: { from },
        });
      }
      throw error instanceof AgentError ? error : transportError(error, from);
    }
  }

  #isEndpoint(url: URL): boolean {
    return url.origin === this.#endpoint.origin;
  }

  #fetch(
    request: HttpRequest,
    body: string | Buffer | Readable | undefined,
    isOwnOrigin: boolean,
    signal: AbortSignal,
  ): Promise<Response> {
    return fetch(request.url, {
      method: request.method,
      headers: {
        'user-agent': 'kaon',
        'accept-encoding': 'identity',
        ...request.headers,
        ...(isOwnOrigin && request.authorization !== undefined ? { authorization: request.authorization } : {}),
      },
      ...(body === undefined ? {} : { body }),
      redirect: 'manual',
      compress: false,
      agent: (target) => this.#agents.agentFor(target, this.#isEndpoint(target)),
      signal,
    });
  }

  /** A coded body would be hashed and resumed at other offsets than the blob's. */
  #refuseEncoding(answer: HttpAnswer): void {
    const encoding = answer.header('content-encoding');
    if (encoding === undefined || encoding.toLowerCase() === 'identity') return;
    answer.discard();
    throw new AgentError(
      'registry-protocol-invalid',
      `cannot read the answer of ${answer.from}: it is encoded (${encoding.slice(0, 32)}), identity was asked for`,
    );
  }
}
