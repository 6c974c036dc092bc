import { Readable } from 'node:stream';
import type { Response } from 'node-fetch';
import { AgentError } from '../core/errors.ts';
import type { StallWatch } from './stall-watch.ts';

const skippedBytes = 16 * 1024;

/** What an answer's body needs of its request. */
export interface AnswerContext {
  /** The URL for messages, without its query. */
  readonly from: string;
  /** Whether a redirect led to another origin than was asked. */
  readonly isForeign: boolean;
  readonly watch: StallWatch;
  /** Longest wait for a body that is read as a whole. */
  readonly answerTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** An answer whose body is not read yet. Read it (`bytes`, `stream`) or `discard` it: it holds a connection. */
export class HttpAnswer {
  readonly status: number;
  readonly from: string;
  readonly isForeign: boolean;
  readonly #response: Response;
  readonly #context: AnswerContext;

  constructor(response: Response, context: AnswerContext) {
    this.status = response.status;
    this.from = context.from;
    this.isForeign = context.isForeign;
    this.#response = response;
    this.#context = context;
  }

  header(name: string): string | undefined {
    return this.#response.headers.get(name) ?? undefined;
  }

  /** The declared length of the body; `undefined` when it is not declared or is no number. */
  get contentLength(): number | undefined {
    const text = this.header('content-length');
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  /**
   * The body, pulled from the connection only as it is consumed. Rejects with `download-truncated` when the connection
   * breaks and `registry-unreachable` when it stalls; the connection is closed when the consumer stops early.
   */
  async *stream(): AsyncGenerator<Uint8Array, void, undefined> {
    const { watch } = this.#context;
    const body = this.#response.body;
    let isEnded = false;
    let receivedBytes = 0;
    try {
      const pieces = body === null ? undefined : (body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>);
      while (pieces !== undefined) {
        const piece = await watch.during(pieces.next());
        if (piece.done === true) break;
        receivedBytes += piece.value.byteLength;
        watch.noteBytes(piece.value.byteLength);
        yield piece.value;
      }
      isEnded = true;
    } catch (error) {
      throw this.#broken(error, receivedBytes);
    } finally {
      watch.end();
      if (!isEnded) this.#close();
    }
  }

  /**
   * The whole body of at most `limitBytes`; else `response-too-large`. Rejects with `registry-unreachable` where it takes
   * too long in all, however steadily it comes.
   */
  async bytes(limitBytes: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    const refuse = (found: string) =>
      new AgentError(
        'response-too-large',
        `cannot read the answer of ${this.from}: it has ${found} bytes, the limit is ${limitBytes}`,
        { details: { limitBytes } },
      );
    const declared = this.contentLength;
    if (declared !== undefined && declared > limitBytes) {
      this.discard();
      throw refuse(String(declared));
    }
    for await (const piece of this.stream()) {
      sizeBytes += piece.byteLength;
      if (sizeBytes > limitBytes) throw refuse(`more than ${limitBytes}`);
      this.#refuseSlow(sizeBytes);
      pieces.push(piece);
    }
    return Buffer.concat(pieces, sizeBytes);
  }

  /** Passes over the body: a short one is read, so that its connection serves again, another is given up. */
  async skip(): Promise<void> {
    const declared = this.contentLength;
    if (declared === undefined || declared > skippedBytes) this.discard();
    else await this.bytes(skippedBytes);
  }

  /** Gives the body up and closes its connection. */
  discard(): void {
    this.#context.watch.end();
    this.#close();
  }

  #refuseSlow(receivedBytes: number): void {
    const { watch, answerTimeoutMs } = this.#context;
    if (watch.totalMs <= answerTimeoutMs) return;
    throw new AgentError(
      'registry-unreachable',
      `cannot read the answer of ${this.from}: it took more than ${answerTimeoutMs} ms to send ${receivedBytes} bytes`,
      { details: { from: this.from, receivedBytes } },
    );
  }

  #close(): void {
    const body = this.#response.body;
    if (body instanceof Readable) body.destroy();
  }

  #broken(error: unknown, receivedBytes: number): unknown {
    const { signal, watch } = this.#context;
    if (signal.aborted) return signal.reason;
    const details = { from: this.from, receivedBytes };
    if (watch.signal.aborted) {
      return new AgentError('registry-unreachable', `cannot go on with ${this.from}: no bytes came for too long`, {
        details,
      });
    }
    if (error instanceof AgentError) return error;
    return new AgentError(
      'download-truncated',
      `cannot go on with ${this.from}: the connection broke after ${receivedBytes} bytes`,
      { details },
    );
  }
}
