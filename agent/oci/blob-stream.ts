import { AgentError } from '../core/errors.ts';
import type { HttpAnswer } from './http-answer.ts';
import { type ByteRange, layerTooLarge, skipOf } from './range.ts';
import { isTransient, type RetryBudget } from './retry.ts';

/** A blob to be streamed. */
export interface BlobRequest {
  /** For messages. */
  readonly what: string;
  readonly sizeBytes: number;
  /** Asks the registry anew, redirects included; `undefined` asks for the whole. Resolves to a 200, 206 or 416. */
  open(range: ByteRange | undefined): Promise<HttpAnswer>;
}

/** The bytes of one answer from `range.start` on; the connection is given up when the consumer stops. */
async function* readAnswer(answer: HttpAnswer, request: BlobRequest, range: ByteRange | undefined) {
  let toSkip: number;
  try {
    const contentRange = answer.header('content-range');
    const head = { status: answer.status, contentRange, contentLength: answer.contentLength };
    toSkip = skipOf(head, range, request.sizeBytes, request.what);
  } catch (error) {
    answer.discard();
    throw error;
  }
  let remaining = request.sizeBytes - (range?.start ?? 0);
  for await (const piece of answer.stream()) {
    const skipped = Math.min(toSkip, piece.byteLength);
    toSkip -= skipped;
    const rest = piece.subarray(skipped);
    if (rest.byteLength > remaining) throw layerTooLarge(request.what, request.sizeBytes);
    remaining -= rest.byteLength;
    if (rest.byteLength > 0) yield rest;
  }
}

/**
 * The bytes of a blob in order, exactly `sizeBytes` of them. After a broken connection it goes on with a closed range,
 * asked from the registry itself, since a presigned link may have expired. Bytes are pulled as they are consumed.
 * Rejects when `budget` is used up; nothing is hashed here.
 */
export async function* streamBlob(
  request: BlobRequest,
  budget: RetryBudget,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let offset = 0;
  while (offset < request.sizeBytes) {
    const range = offset === 0 ? undefined : { start: offset, end: request.sizeBytes - 1 };
    try {
      for await (const piece of readAnswer(await request.open(range), request, range)) {
        offset += piece.byteLength;
        budget.noteProgress(piece.byteLength);
        yield piece;
      }
      if (offset < request.sizeBytes) {
        throw new AgentError(
          'download-truncated',
          `cannot fetch ${request.what}: it ended after ${offset} of ${request.sizeBytes} bytes`,
          { details: { receivedBytes: offset, sizeBytes: request.sizeBytes } },
        );
      }
    } catch (error) {
      // Every byte came; that the connection then broke in place of ending takes nothing away.
      if (offset === request.sizeBytes && isTransient(error)) return;
      await budget.recover(error, signal);
    }
  }
}
