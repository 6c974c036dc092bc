import { isErrorCode } from '../../agent/core/errors.ts';

/** A parser of bytes from outside, as the fuzzer sees it. */
export interface FuzzTarget {
  readonly name: string;
  /** Sound inputs to begin with, none of them large. */
  readonly seeds: readonly Uint8Array[];
  /** Parses, and throws an `Error` of no code where what was read breaks a promise. Told apart by `isCoded`. */
  readonly parse: (bytes: Uint8Array) => unknown;
  /** Makes checksums right again, so that what lies behind them is reached. */
  readonly mend?: (bytes: Uint8Array) => Uint8Array;
  /** Errors of parsers whose caller gives them a code. */
  readonly isExpected?: (error: unknown) => boolean;
}

/** Whether an error is one that people get to read: with a code of the table, and not `internal`. */
export function isCoded(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return isErrorCode(String(error.code)) && error.code !== 'internal';
}

/** Throws unless a promise about what was parsed is kept. */
export function promise(isKept: boolean, what: string): void {
  if (!isKept) throw new Error(`broken promise: ${what}`);
}

export const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'utf8');
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
