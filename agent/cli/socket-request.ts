import { type IncomingMessage, request as httpRequest } from 'node:http';
import type { Clock } from '../core/ports.ts';
import { CliError } from './exit-codes.ts';

/** Most bytes of an answer that are taken. */
export const answerLimitBytes = 4 * 1024 * 1024;

/** One request to kaond. */
export interface SocketRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; nothing is sent for `undefined`. */
  readonly body?: unknown;
}

/** An answer with any status. */
export interface SocketAnswer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly contentType: string;
  readonly text: string;
}

/** That kaond can't be talked to, with the system's reason. */
export function unreachable(socketPath: string, reason: string, cause?: unknown): CliError {
  return new CliError('daemon-unreachable', `cannot reach kaond at ${socketPath}: ${reason}`, {
    details: { socket: socketPath },
    ...(cause === undefined ? {} : { cause }),
  });
}

/**
 * Sends one request over the unix socket and reads the whole answer within `timeoutMs`. Rejects with
 * `daemon-unreachable`, with `response-too-large`, or with the reason of `signal`.
 */
export async function sendRequest(
  socketPath: string,
  request: SocketRequest,
  { clock, timeoutMs, signal }: { clock: Clock; timeoutMs: number; signal: AbortSignal },
): Promise<SocketAnswer> {
  const ending = new AbortController();
  const isOver = clock.sleep(timeoutMs, ending.signal).then(
    () => {
      ending.abort(unreachable(socketPath, `it did not answer within ${Math.round(timeoutMs / 1000)} s`));
    },
    () => undefined,
  );
  const both = AbortSignal.any([signal, ending.signal]);
  try {
    const answer = await openAnswer(socketPath, request, both);
    const { statusCode = 0, headers } = answer;
    const { etag, 'content-type': contentType = '' } = headers;
    return { status: statusCode, etag, contentType, text: await readText(socketPath, answer, both) };
  } finally {
    ending.abort();
    await isOver;
  }
}

/** Sends one request and resolves to the head of its answer. Rejects with `daemon-unreachable` or the signal's reason. */
export function openAnswer(socketPath: string, request: SocketRequest, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const { method, path, headers, body } = request;
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const asking = httpRequest({
      socketPath,
      method,
      path,
      agent: false,
      signal,
      headers: {
        ...headers,
        // The daemon looks at no host name, and a client's own guess (localhost) would mislead who reads a trace.
        host: 'kaon',
        ...(bytes === undefined ? {} : { 'content-type': 'application/json', 'content-length': bytes.byteLength }),
      },
    });
    asking.once('response', resolve);
    asking.on('error', (error) => {
      reject(failed(socketPath, error, signal));
    });
    asking.end(bytes);
  });
}

async function readText(socketPath: string, answer: IncomingMessage, signal: AbortSignal): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      sizeBytes += piece.byteLength;
      if (sizeBytes > answerLimitBytes) {
        throw new CliError(
          'response-too-large',
          `cannot read the answer of kaond: it has more than ${answerLimitBytes} bytes`,
          { fix: 'Ask for less, for example with --limit.' },
        );
      }
      pieces.push(piece);
    }
  } catch (error) {
    throw error instanceof CliError ? error : failed(socketPath, error, signal);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** What a broken exchange is told as: the signal's reason where it was aborted. */
export function failed(socketPath: string, error: unknown, signal: AbortSignal): Error {
  if (signal.aborted) return signal.reason instanceof Error ? signal.reason : new Error('aborted');
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return unreachable(socketPath, reasons[code] ?? (error instanceof Error ? error.message : String(error)), error);
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'nobody listens there',
  EACCES: 'this user may not use it',
  EPERM: 'this user may not use it',
  ENOTSOCK: 'it is no socket',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
};
