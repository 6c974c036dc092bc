import type { HttpAnswer } from './http-answer.ts';
import type { ClosedRange } from './range.ts';

/** Asks for a range of a blob; `undefined` asks for the whole. */
export type OpenRange = (range: ClosedRange | undefined, signal: AbortSignal) => Promise<HttpAnswer>;

/** So many requests are under way beside the one that is read. */
const maxAhead = 3;

/**
 * A request is sent when so many bytes are left before its turn. They pass in some seconds on a slow link: a connection
 * that nobody reads from for long is cut off by servers.
 */
const windowBytes = 2 * 1024 * 1024;

interface Ahead {
  readonly range: ClosedRange;
  readonly answer: Promise<HttpAnswer>;
  readonly abort: AbortController;
  isAnswered: boolean;
}

/**
 * Requests for the ranges that come next, sent before their turn, so that the way there and back is waited for once and
 * not once a range. Their bodies wait in their sockets: memory does not grow with what comes.
 */
export class RequestsAhead {
  readonly #open: OpenRange;
  readonly #signal: AbortSignal;
  #ahead: Ahead[] = [];

  constructor(open: OpenRange, signal: AbortSignal) {
    this.#open = open;
    this.#signal = signal;
  }

  /** Sends requests for those of `next`, which ascend, whose turn is near when `leftBytes` are left before them. */
  fill(next: readonly ClosedRange[], leftBytes: number): void {
    let beforeBytes = leftBytes;
    for (const [index, range] of next.entries()) {
      if (index >= maxAhead || beforeBytes > windowBytes) return;
      beforeBytes += range.end - range.start + 1;
      if (this.#ahead.some((one) => isSame(one.range, range))) continue;
      const abort = new AbortController();
      const answer = this.#open(range, AbortSignal.any([this.#signal, abort.signal]));
      const ahead: Ahead = { range, answer, abort, isAnswered: false };
      answer.then(
        () => (ahead.isAnswered = true),
        // Whoever takes it hears of it.
        () => undefined,
      );
      this.#ahead.push(ahead);
    }
  }

  /** The answer to `range`, for which a request may be under way. */
  async take(range: ClosedRange | undefined): Promise<HttpAnswer> {
    const found = this.#ahead.find((one) => range !== undefined && isSame(one.range, range));
    if (found === undefined) return this.#open(range, this.#signal);
    this.#ahead = this.#ahead.filter((one) => one !== found);
    return found.answer;
  }

  /** Gives up what has no answer yet: after a failure it would most likely fail as well, and count as another one. */
  dropUnanswered(): void {
    this.#drop(({ isAnswered }) => !isAnswered);
  }

  /** Gives up everything; no connection of it stays open. */
  drop(): void {
    this.#drop(() => true);
  }

  #drop(isDropped: (ahead: Ahead) => boolean): void {
    const dropped = this.#ahead.filter(isDropped);
    this.#ahead = this.#ahead.filter((one) => !dropped.includes(one));
    for (const { answer, abort } of dropped) {
      abort.abort();
      answer.then(
        (unread) => unread.discard(),
        () => undefined,
      );
    }
  }
}

function isSame(one: ClosedRange, other: ClosedRange): boolean {
  return one.start === other.start && one.end === other.end;
}
