import { AgentError } from '../core/errors.ts';
import type { HttpAnswer } from './http-answer.ts';
import { type ClosedRange, layerTooLarge, rangesAfter, skipOf } from './range.ts';
import { type OpenRange, RequestsAhead } from './requests-ahead.ts';
import { isTransient, type RetryBudget } from './retry.ts';

/** A blob to be streamed. */
export interface BlobRequest {
  /** For messages. */
  readonly what: string;
  readonly sizeBytes: number;
  /** What of it is wanted: ascending, apart, inside. */
  readonly ranges: readonly ClosedRange[];
  /** Asks the registry anew, redirects included; `undefined` asks for the whole. Resolves to a 200, 206 or 416. */
  readonly open: OpenRange;
}

function sizeOf(ranges: readonly ClosedRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0);
}

/**
 * The bytes of one answer that lie in `wanted`, of which the first was asked for by `range`: an answer with the whole
 * gives them all. The connection is given up when the consumer stops, or wants nothing of what comes.
 */
async function* readAnswer(
  answer: HttpAnswer,
  request: BlobRequest,
  range: ClosedRange | undefined,
  wanted: readonly ClosedRange[],
): AsyncGenerator<Uint8Array> {
  let position: number;
  try {
    const contentRange = answer.header('content-range');
    const head = { status: answer.status, contentRange, contentLength: answer.contentLength };
    position = (range?.start ?? 0) - skipOf(head, range, request.sizeBytes, request.what);
  } catch (error) {
    answer.discard();
    throw error;
  }
  const isPart = answer.status === 206;
  const parts = isPart ? wanted.slice(0, 1) : wanted;
  const limitBytes = isPart ? (parts[0]?.end ?? 0) + 1 : request.sizeBytes;
  let at = 0;
  for await (const piece of answer.stream()) {
    const pieceEnd = position + piece.byteLength;
    if (pieceEnd > limitBytes) throw layerTooLarge(request.what, request.sizeBytes);
    for (let part = parts[at]; part !== undefined && part.start < pieceEnd; part = parts[at]) {
      const bytes = piece.subarray(Math.max(0, part.start - position), part.end + 1 - position);
      if (bytes.byteLength > 0) yield bytes;
      if (part.end >= pieceEnd) break;
      at += 1;
    }
    position = pieceEnd;
    // The rest of the whole is nothing that was asked for; the end of a part is read, so that its connection serves again.
    if (at === parts.length && !isPart && position < limitBytes) return;
  }
}

/**
 * The bytes of a blob's ranges in order, each range by a closed request; the next few are asked for ahead. After a broken
 * connection it goes on with a closed range, asked from the registry itself, since a presigned link may have expired.
 * Bytes are pulled as they are consumed. Rejects when `budget` is used up; nothing is hashed here.
 */
export async function* streamBlob(
  request: BlobRequest,
  budget: RetryBudget,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const totalBytes = sizeOf(request.ranges);
  const isWhole = totalBytes === request.sizeBytes;
  const ahead = new RequestsAhead(request.open, signal);
  let doneBytes = 0;
  try {
    while (doneBytes < totalBytes) {
      const wanted = rangesAfter(request.ranges, doneBytes);
      const range = isWhole && doneBytes === 0 ? undefined : wanted[0];
      try {
        const answer = await ahead.take(range);
        const isPart = answer.status === 206;
        const dueBytes = doneBytes + sizeOf(isPart ? wanted.slice(0, 1) : wanted);
        // A registry that gives the whole for a range would give it once more for each.
        const next = isPart ? wanted.slice(1) : [];
        ahead.fill(next, dueBytes - doneBytes);
        for await (const piece of readAnswer(answer, request, range, wanted)) {
          doneBytes += piece.byteLength;
          budget.noteProgress(piece.byteLength);
          ahead.fill(next, dueBytes - doneBytes);
          yield piece;
        }
        if (doneBytes < dueBytes) throw truncated(request, doneBytes, totalBytes);
      } catch (error) {
        // Every byte came; that the connection then broke in place of ending takes nothing away.
        if (doneBytes === totalBytes && isTransient(error)) return;
        ahead.dropUnanswered();
        await budget.recover(error, signal);
      }
    }
  } finally {
    ahead.drop();
  }
}

function truncated({ what }: BlobRequest, doneBytes: number, totalBytes: number): AgentError {
  return new AgentError(
    'download-truncated',
    `cannot fetch ${what}: it ended after ${doneBytes} of ${totalBytes} bytes`,
    { details: { receivedBytes: doneBytes, sizeBytes: totalBytes } },
  );
}
