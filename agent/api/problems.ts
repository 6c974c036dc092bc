import { type ErrorCode, errorTable, isErrorCode } from '../core/errors.ts';

/** A problem answer (RFC 9457). */
export interface Problem {
  /** Served offline: the table of codes. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly fix: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export const problemType = 'application/problem+json';

/** The problem that `error` is answered with. What is not one of our codes is `internal` and keeps its words to the log. */
export function problemOf(error: unknown): Problem {
  const code = codeOf(error);
  const row = errorTable[code];
  const details = error instanceof Error && 'details' in error ? error.details : undefined;
  return {
    type: `/docs/errors#${code}`,
    title: row.title,
    status: row.httpStatus,
    detail: code === 'internal' || !(error instanceof Error) ? row.title : error.message,
    code,
    retryable: row.isRetryable,
    fix: row.fix,
    ...(isFilledObject(details) && code !== 'internal' ? { details } : {}),
  };
}

function codeOf(error: unknown): ErrorCode {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (isErrorCode(code)) return code;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return 'body-too-large';
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return 'usage-invalid';
    default:
      return error instanceof SyntaxError ? 'usage-invalid' : 'internal';
  }
}

function isFilledObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}
