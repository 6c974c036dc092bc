import { AgentError } from '../core/errors.ts';
import type { ByteRange } from '../core/ports.ts';

/** A closed range of bytes, both ends included, as HTTP has it. */
export interface ClosedRange {
  readonly start: number;
  readonly end: number;
}

/** The head of an answer to a request for a layer, or for a range of it. */
export interface RangeAnswer {
  readonly status: number;
  readonly contentRange: string | undefined;
  readonly contentLength: number | undefined;
}

/** The Range header of a closed range: some registries refuse an open one. */
export function formatRange(range: ClosedRange): string {
  return `bytes=${range.start}-${range.end}`;
}

function invalid(what: string, reason: string): AgentError {
  return new AgentError('registry-protocol-invalid', `cannot fetch ${what}: ${reason}`);
}

function checkPartial(answer: RangeAnswer, range: ClosedRange, sizeBytes: number, what: string): void {
  const found = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(answer.contentRange?.trim() ?? '');
  const asked = formatRange(range);
  if (found === null) throw invalid(what, `the answer to ${asked} has no Content-Range that can be used`);
  const [, start, end, total] = found;
  if (Number(start) !== range.start || Number(end) !== range.end || (total !== '*' && Number(total) !== sizeBytes)) {
    throw invalid(what, `${asked} of ${sizeBytes} was asked, ${start ?? ''}-${end ?? ''} of ${total ?? ''} came`);
  }
  const lengthBytes = range.end - range.start + 1;
  if (answer.contentLength !== undefined && answer.contentLength !== lengthBytes) {
    throw invalid(what, `the answer to ${asked} has ${answer.contentLength} bytes`);
  }
}

/**
 * How many bytes at the head of the answer's body are to be skipped (RFC 9110, 14 and 15.3.7): none of a partial
 * answer, all before the range of a full one. Throws `registry-protocol-invalid`, `response-too-large`, or
 * `download-truncated` when the head says that the body is not what was asked for.
 */
export function skipOf(answer: RangeAnswer, range: ClosedRange | undefined, sizeBytes: number, what: string): number {
  if (answer.status === 206) {
    if (range === undefined) throw invalid(what, 'a part came (206) where the whole was asked');
    checkPartial(answer, range, sizeBytes, what);
    return 0;
  }
  if (answer.status === 416) {
    throw invalid(what, `the registry holds fewer bytes than the ${sizeBytes} of the manifest (416)`);
  }
  if (answer.status !== 200) throw invalid(what, `the registry answers ${answer.status}`);
  const { contentLength } = answer;
  if (contentLength !== undefined && contentLength > sizeBytes) throw layerTooLarge(what, sizeBytes);
  if (contentLength !== undefined && contentLength < sizeBytes) {
    throw new AgentError(
      'download-truncated',
      `cannot fetch ${what}: the registry has ${contentLength} bytes, the manifest says ${sizeBytes}`,
      { details: { isFinal: true } },
    );
  }
  return range?.start ?? 0;
}

/**
 * Checks that `ranges` are ascending, do not overlap and lie in a layer of `sizeBytes`, and joins those that touch.
 * Without ranges: the whole. Throws a `RangeError`: they come from our own planning.
 */
export function closedRanges(ranges: readonly ByteRange[] | undefined, sizeBytes: number): readonly ClosedRange[] {
  if (ranges === undefined) return sizeBytes === 0 ? [] : [{ start: 0, end: sizeBytes - 1 }];
  const joined: { start: number; end: number }[] = [];
  for (const { offset, sizeBytes: lengthBytes } of ranges) {
    const last = joined.at(-1);
    if (offset < (last === undefined ? 0 : last.end + 1) || lengthBytes < 1 || offset + lengthBytes > sizeBytes) {
      throw new RangeError(`cannot read ${lengthBytes} bytes at ${offset} of a layer of ${sizeBytes}: out of order`);
    }
    const end = offset + lengthBytes - 1;
    if (last !== undefined && last.end + 1 === offset) last.end = end;
    else joined.push({ start: offset, end });
  }
  return joined;
}

/** What is left of `ranges` when their first `doneBytes` bytes have come. */
export function rangesAfter(ranges: readonly ClosedRange[], doneBytes: number): readonly ClosedRange[] {
  let toSkip = doneBytes;
  for (const [index, { start, end }] of ranges.entries()) {
    const lengthBytes = end - start + 1;
    if (toSkip < lengthBytes) return [{ start: start + toSkip, end }, ...ranges.slice(index + 1)];
    toSkip -= lengthBytes;
  }
  return [];
}

/** The error for a layer that goes on after its end. */
export function layerTooLarge(what: string, sizeBytes: number): AgentError {
  return new AgentError(
    'response-too-large',
    `cannot fetch ${what}: the registry sends more than the ${sizeBytes} bytes of the manifest`,
    { details: { limitBytes: sizeBytes } },
  );
}
