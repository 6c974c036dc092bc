import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { AgentError, type ErrorReport, reportOf } from '../core/errors.ts';
import type { Clock } from '../core/ports.ts';
import type { CheckAttempt } from '../health/health-check.ts';
import {
  type CheckRequest,
  encodeRequest,
  lineLimits,
  parseAttempt,
  parseConcluded,
  parseGreeting,
} from './messages.ts';
import { readLine } from './read-line.ts';
import { within } from './within.ts';

/** How long the unit may take to start: on demand, on a node that just booted. */
const greetingLimitMs = 20_000;
/** What an answer may take beside the time-out of the check, which begins in the unit. */
const answerAllowanceMs = 5_000;
/** So long a unit that did not start is not waited for again. */
const absenceMs = 300_000;

/** What an attempt may take beside its time-out. */
export const startAllowanceMs = greetingLimitMs + answerAllowanceMs;

/** Opens a connection to kaon-check. Rejects with `check-unreachable`. */
export type CheckConnector = () => Promise<Duplex>;

/** Connects to the socket at `path`, behind which systemd starts kaon-check on demand. */
export function checkConnector(path: string): CheckConnector {
  return () =>
    new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('connect', () => {
        socket.removeAllListeners('error');
        resolve(socket);
      });
      socket.once('error', (cause) => {
        reject(unreachable(`${path}: ${cause.message}`, cause));
      });
    });
}

/**
 * kaon-check, asked by kaond. Where it has no answer, the caller does itself what it asked for; `onProblem` hears why, once
 * for each reason in a row. Never rejects.
 */
export class CheckUnit {
  readonly #connect: CheckConnector;
  readonly #clock: Clock;
  readonly #onProblem: (report: ErrorReport) => void;
  #absentUntilMs = Number.NEGATIVE_INFINITY;
  #lastProblem: string | undefined;

  constructor(connector: CheckConnector, clock: Clock, onProblem: (report: ErrorReport) => void) {
    this.#connect = connector;
    this.#clock = clock;
    this.#onProblem = onProblem;
  }

  /** One attempt of a check, by its name and the digest of its settings. `undefined`: the unit did not run it to its end. */
  async attempt(
    wanted: Extract<CheckRequest, { check: string }>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<CheckAttempt | undefined> {
    try {
      return parseAttempt(await this.#exchange(wanted, timeoutMs, signal));
    } catch (error) {
      this.#tell(error, signal);
      return undefined;
    }
  }

  /** Has done what the node wants after a verdict. `false`: the unit did not begin with it. */
  async conclude(
    wanted: Extract<CheckRequest, { verdict: string }>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      parseConcluded(await this.#exchange(wanted, timeoutMs, signal));
      return true;
    } catch (error) {
      this.#tell(error, signal);
      return error instanceof LostAnswer;
    }
  }

  /** The answer to `wanted`. */
  async #exchange(wanted: CheckRequest, timeoutMs: number, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    if (this.#clock.monotonicMs() < this.#absentUntilMs)
      throw unreachable('it did not start, and is not waited for now');
    const stream = await this.#connect();
    const close = () => stream.destroy();
    signal.addEventListener('abort', close, { once: true });
    // Who reads hears of it.
    stream.on('error', () => undefined);
    try {
      parseGreeting(await this.#read(stream, greetingLimitMs, unreachable));
      stream.write(encodeRequest(wanted));
      return await this.#read(stream, timeoutMs + answerAllowanceMs, (reason) => new LostAnswer(reason));
    } finally {
      signal.removeEventListener('abort', close);
      close();
    }
  }

  async #read(stream: Duplex, limitMs: number, failure: (reason: string) => AgentError): Promise<string> {
    const late = () => {
      this.#absentUntilMs = this.#clock.monotonicMs() + absenceMs;
      return failure(`it does not answer within ${limitMs} ms`);
    };
    const reading = async () =>
      readLine(stream, lineLimits.answerBytes).catch((error: unknown) => {
        throw error instanceof AgentError ? error : failure(String(error));
      });
    const line = await within(this.#clock, limitMs, reading, late);
    if (line === undefined) throw failure('it ended without an answer');
    return line;
  }

  #tell(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const report = reportOf(error);
    if (report.message !== this.#lastProblem) this.#onProblem(report);
    this.#lastProblem = report.message;
  }
}

/** The request was taken, and no answer came. */
class LostAnswer extends AgentError {
  constructor(reason: string) {
    super('check-unreachable', `cannot have the answer of kaon-check: ${reason}`);
  }
}

function unreachable(reason: string, cause?: unknown): AgentError {
  return new AgentError('check-unreachable', `cannot reach kaon-check: ${reason}`, { cause });
}
