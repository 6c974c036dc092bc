import type { Duplex } from 'node:stream';
import { AgentError, reportOf } from '../core/errors.ts';
import type { Clock } from '../core/ports.ts';
import type { CheckAttempt } from '../health/health-check.ts';
import {
  type CheckRequest,
  encodeAttempt,
  encodeConcluded,
  encodeFailure,
  encodeGreeting,
  lineLimits,
  parseRequest,
} from './messages.ts';
import { readLine } from './read-line.ts';
import { within } from './within.ts';

/** Most connections at once; kaond has eight attempts at once at most. */
const mostConnections = 16;
/** How long a request may take to come. */
const requestLimitMs = 10_000;

/** Something that root configured. */
export interface Configured<T> {
  /** The digest of the settings that it is made of. */
  readonly settings: string;
  /** Ends soon after `signal` is aborted, and at its own time-out. */
  run(signal: AbortSignal): Promise<T>;
}

/** What root configured to be run. */
export interface ConfiguredChecks {
  /** One attempt of each check, by its name. */
  readonly checks: ReadonlyMap<string, Configured<CheckAttempt>>;
  /** What is to be done after a verdict. */
  readonly after: Readonly<Record<'passed' | 'failed', Configured<void>>>;
}

/**
 * Runs what root configured, by its name: whoever asks chooses among that, and nothing else. What runs ends with its
 * connection.
 */
export class CheckServer {
  readonly #configured: () => Promise<ConfiguredChecks>;
  readonly #clock: Clock;
  readonly #onFault: (error: unknown) => void;
  readonly #running = new Set<string>();
  #active = 0;

  /** `configured` reads the configuration as it is now; it rejects with why nothing can be run. */
  constructor(configured: () => Promise<ConfiguredChecks>, clock: Clock, onFault: (error: unknown) => void) {
    this.#configured = configured;
    this.#clock = clock;
    this.#onFault = onFault;
  }

  /** How many connections are being answered. */
  get active(): number {
    return this.#active;
  }

  /** Takes one request of `stream`, answers it and ends the stream. Never rejects. */
  async serve(stream: Duplex): Promise<void> {
    this.#active += 1;
    const closed = new AbortController();
    const close = () => closed.abort();
    stream.once('close', close);
    stream.on('error', close);
    try {
      const line = await this.#answer(stream, closed.signal);
      if (line === undefined) stream.destroy();
      else stream.end(line);
    } finally {
      this.#active -= 1;
    }
  }

  /** The last line to send; `undefined`: the other side is gone. */
  async #answer(stream: Duplex, closed: AbortSignal): Promise<string | undefined> {
    try {
      if (this.#active > mostConnections) throw refused(`${mostConnections} connections are open`);
      stream.write(encodeGreeting());
      const reading = () => readLine(stream, lineLimits.requestBytes);
      const late = () => refused(`the request did not come within ${requestLimitMs} ms`);
      const line = await within(this.#clock, requestLimitMs, reading, late);
      if (line === undefined) return undefined;
      // Nothing follows a request. Reading on is how the end of the other side is heard.
      stream.resume();
      stream.once('end', () => stream.destroy());
      return await this.#run(parseRequest(line), closed);
    } catch (error) {
      const report = reportOf(error);
      if (report.code !== 'internal') return encodeFailure(report);
      if (!closed.aborted) this.#onFault(error);
      return encodeFailure({ code: 'internal', message: 'cannot run the check: see the log of kaon-check' });
    }
  }

  async #run(wanted: CheckRequest, closed: AbortSignal): Promise<string> {
    const { checks, after } = await this.#configured();
    if ('check' in wanted) {
      const found = checks.get(wanted.check);
      if (found === undefined) throw refused(`no check ${wanted.check} is configured`);
      return encodeAttempt(await this.#once(`check ${wanted.check}`, found, wanted.settings, closed));
    }
    await this.#once('what follows a verdict', after[wanted.verdict], wanted.settings, closed);
    return encodeConcluded();
  }

  async #once<T>(name: string, found: Configured<T>, settings: string, closed: AbortSignal): Promise<T> {
    if (found.settings !== settings) {
      throw refused(`kaond goes by other settings of ${name} than stand in the configuration; restart kaond`);
    }
    // Once at a time, as the node would run it: many at once would be a load that nobody configured.
    if (this.#running.has(name)) throw refused(`${name} is running already`);
    this.#running.add(name);
    try {
      return await found.run(closed);
    } finally {
      this.#running.delete(name);
    }
  }
}

function refused(reason: string): AgentError {
  return new AgentError('check-refused', `cannot run what is asked for: ${reason}`);
}
