import type { z } from 'zod';
import type { Clock } from '../core/ports.ts';
import * as answers from './answers.ts';
import { CliError } from './exit-codes.ts';
import { type SocketAnswer, type SocketRequest, sendRequest } from './socket-request.ts';

/** Where kaond listens unless it is told otherwise. */
export const defaultSocketPath = '/run/kaon/kaon.sock';

const requestTimeoutMs = 30_000;
/** A plan asks the registry, which is tried again for a while. */
const planTimeoutMs = 300_000;
/** Short enough that a daemon which hangs is noticed. */
export const statusWaitSeconds = 15;

/** An answer as kaonctl reads it, and as kaond sent it. */
export interface Answer<T> {
  readonly value: T;
  readonly raw: unknown;
}

/** The status with the version that a wait for the next one starts from. */
export interface StatusSnapshot extends Answer<answers.StatusAnswer> {
  readonly etag: string | undefined;
}

/** What an update is asked for with. */
export interface UpdateAsk {
  readonly image: string;
  readonly from: string | undefined;
  readonly until: 'staged' | 'activated' | 'committed';
  /** Lets it go below the rollback floor. */
  readonly downgradeReason?: string | undefined;
  /** Lets it fetch over a metered link. */
  readonly isMeteredAllowed?: boolean;
}

/**
 * The REST API of kaond over its socket. Every method rejects with the code of the problem that kaond answers, with
 * `daemon-unreachable`, `response-too-large`, `internal` for an answer that can't be read, or with the signal's reason.
 */
export class ApiClient {
  readonly socketPath: string;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;

  constructor(socketPath: string, clock: Clock, signal: AbortSignal) {
    this.socketPath = socketPath;
    this.#clock = clock;
    this.#signal = signal;
  }

  async status(): Promise<StatusSnapshot> {
    const answer = await this.#ask({ method: 'GET', path: '/v1/status' });
    return { ...parse(answer, answers.statusSchema, '/v1/status'), etag: answer.etag };
  }

  /** The status once it is another than `etag` names; `undefined` when nothing changed for some seconds. */
  async changedStatus(etag: string | undefined): Promise<StatusSnapshot | undefined> {
    if (etag === undefined) return this.status();
    const path = `/v1/status?wait=${statusWaitSeconds}`;
    const request = { method: 'GET', path, headers: { 'if-none-match': etag } } as const;
    const answer = await this.#ask(request, requestTimeoutMs + statusWaitSeconds * 1000);
    if (answer.status === 304) return undefined;
    return { ...parse(answer, answers.statusSchema, path), etag: answer.etag };
  }

  slots() {
    return this.#get('/v1/slots', answers.slotsSchema);
  }

  async plan(image: string, from: string | undefined) {
    const body = { image, ...(from === undefined ? {} : { from }) };
    const answer = await this.#ask({ method: 'POST', path: '/v1/plans', body }, planTimeoutMs);
    return parse(answer, answers.planSchema, '/v1/plans');
  }

  async startUpdate(ask: UpdateAsk, idempotencyKey: string) {
    const { image, from, until, downgradeReason, isMeteredAllowed = false } = ask;
    const body = {
      image,
      until,
      ...(from === undefined ? {} : { from }),
      ...(downgradeReason === undefined ? {} : { downgradeReason }),
      ...(isMeteredAllowed ? { metered: true } : {}),
    };
    return this.#post('/v1/updates', body, answers.acceptedSchema, { 'idempotency-key': idempotencyKey });
  }

  async startRollback(idempotencyKey: string) {
    return this.#post('/v1/rollbacks', {}, answers.acceptedSchema, { 'idempotency-key': idempotencyKey });
  }

  update(id: string) {
    return this.#get(`/v1/updates/${encodeURIComponent(id)}`, answers.updateSchema);
  }

  updates(limit: number) {
    return this.#get(`/v1/updates?limit=${limit}`, answers.updatesSchema);
  }

  async activate(id: string, isRebootAsked: boolean): Promise<void> {
    const path = `/v1/updates/${encodeURIComponent(id)}/activate`;
    await this.#ask({ method: 'POST', path, body: { reboot: isRebootAsked } });
  }

  async cancel(id: string): Promise<void> {
    await this.#ask({ method: 'POST', path: `/v1/updates/${encodeURIComponent(id)}/cancel`, body: {} });
  }

  async pause(id: string): Promise<void> {
    await this.#ask({ method: 'POST', path: `/v1/updates/${encodeURIComponent(id)}/pause`, body: {} });
  }

  async resume(id: string, isMeteredAllowed: boolean): Promise<void> {
    const path = `/v1/updates/${encodeURIComponent(id)}/resume`;
    await this.#ask({ method: 'POST', path, body: isMeteredAllowed ? { metered: true } : {} });
  }

  /** Resolves to who holds the reboot back, if anybody does. */
  async reboot(): Promise<string | undefined> {
    const answer = await this.#ask({ method: 'POST', path: '/v1/reboot', body: {} });
    return parse(answer, answers.rebootSchema, '/v1/reboot').value.heldBy;
  }

  async testLoader(): Promise<void> {
    await this.#ask({ method: 'POST', path: '/v1/loader-test', body: {} });
  }

  async mark(slot: string, verdict: 'good' | 'bad'): Promise<void> {
    await this.#ask({ method: 'POST', path: `/v1/slots/${encodeURIComponent(slot)}/mark-${verdict}`, body: {} });
  }

  rollbacks(limit: number) {
    return this.#get(`/v1/rollbacks?limit=${limit}`, answers.rollbacksSchema);
  }

  rollback(id: string) {
    return this.#get(`/v1/rollbacks/${encodeURIComponent(id)}`, answers.rollbackSchema);
  }

  health() {
    return this.#get('/v1/health', answers.healthSchema);
  }

  knownBad() {
    return this.#get('/v1/known-bad', answers.knownBadSchema);
  }

  async clearKnownBad(digest: string): Promise<void> {
    await this.#ask({ method: 'DELETE', path: `/v1/known-bad/${encodeURIComponent(digest)}` });
  }

  hold() {
    return this.#get('/v1/hold', answers.holdSchema);
  }

  async setHold(reason: string, until: string | undefined): Promise<void> {
    const body = { reason, ...(until === undefined ? {} : { until }) };
    await this.#ask({ method: 'PUT', path: '/v1/hold', body });
  }

  async clearHold(): Promise<void> {
    await this.#ask({ method: 'DELETE', path: '/v1/hold' });
  }

  rateLimit() {
    return this.#get('/v1/rate-limit', answers.rateLimitSchema);
  }

  async setRateLimit(bytesPerSecond: number | null): Promise<void> {
    await this.#ask({ method: 'PUT', path: '/v1/rate-limit', body: { bytesPerSecond } });
  }

  async clearRateLimit(): Promise<void> {
    await this.#ask({ method: 'DELETE', path: '/v1/rate-limit' });
  }

  async confirmFacts(): Promise<void> {
    await this.#ask({ method: 'POST', path: '/v1/facts/confirm', body: {} });
  }

  async sendTrigger(envelope: unknown) {
    return this.#post('/v1/triggers', envelope, answers.triggerAcceptedSchema);
  }

  events(after: number, limit: number) {
    return this.#get(`/v1/events?after=${after}&limit=${limit}`, answers.eventsSchema);
  }

  async #get<T>(path: string, schema: z.ZodType<T>): Promise<Answer<T>> {
    return parse(await this.#ask({ method: 'GET', path }), schema, path);
  }

  async #post<T>(path: string, body: unknown, schema: z.ZodType<T>, headers: Readonly<Record<string, string>> = {}) {
    return parse(await this.#ask({ method: 'POST', path, body, headers }), schema, path);
  }

  async #ask(request: SocketRequest, timeoutMs = requestTimeoutMs): Promise<SocketAnswer> {
    const limits = { clock: this.#clock, timeoutMs, signal: this.#signal };
    const answer = await sendRequest(this.socketPath, request, limits);
    if (answer.status >= 400) throw problemError(answer, request);
    return answer;
  }
}

/** The error that an answer of 400 and above stands for. */
export function problemError(answer: SocketAnswer, { method, path }: SocketRequest): CliError {
  const problem = answers.problemSchema.safeParse(jsonOf(answer.text));
  if (!problem.success) {
    return new CliError('internal', `cannot ${method} ${path}: something that is not kaond answers ${answer.status}`, {
      fix: 'Check --socket and KAON_SOCKET.',
    });
  }
  const { code, detail, fix, details } = problem.data;
  // The daemon keeps the words of its bugs to its log.
  const message = code === 'internal' ? `cannot ${method} ${path}: kaond had an internal error` : detail;
  return new CliError(code, message, {
    fix: code === 'internal' ? 'Report it with the log: journalctl -u kaond.' : fix,
    ...(details === undefined ? {} : { details }),
  });
}

function parse<T>(answer: SocketAnswer, schema: z.ZodType<T>, path: string): Answer<T> {
  const raw = jsonOf(answer.text);
  const result = schema.safeParse(raw);
  if (result.success) return { value: result.data, raw };
  const issue = result.error.issues[0];
  throw new CliError(
    'internal',
    `cannot read the answer of kaond to ${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
    { fix: 'Use the kaonctl of the version that kaond has.' },
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Whatever it is, it has not the shape that is asked for; the caller says so.
    return undefined;
  }
}
