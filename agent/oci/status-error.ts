import { AgentError, type ErrorCode } from '../core/errors.ts';
import type { Clock } from '../core/ports.ts';
import type { HttpAnswer } from './http-answer.ts';
import { parseRetryAfter } from './retry.ts';

const bodyLimitBytes = 64 * 1024;

/** Which code a status other than success is; `undefined` for one that has no place in the protocol. */
export function codeOfStatus(status: number): ErrorCode | undefined {
  if (status === 401 || status === 403) return 'registry-unauthorized';
  if (status === 404) return 'image-not-found';
  if (status === 429) return 'registry-rate-limited';
  if (status === 408 || (status >= 500 && status < 600)) return 'registry-unreachable';
  return undefined;
}

/** The first code of a registry's error body (distribution-spec, "Error Codes"); its free text is never repeated. */
export function registryErrorCode(bytes: Uint8Array): string | undefined {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    // An error page of something in between; the status says what matters.
    return undefined;
  }
  if (typeof json !== 'object' || json === null || !('errors' in json) || !Array.isArray(json.errors)) return undefined;
  const first: unknown = json.errors[0];
  if (typeof first !== 'object' || first === null || !('code' in first)) return undefined;
  return typeof first.code === 'string' && /^[A-Z_]{1,64}$/.test(first.code) ? first.code : undefined;
}

const advice: Readonly<Partial<Record<ErrorCode, string>>> = {
  'registry-unauthorized': '; check the credentials in its authFile, and that they may do this',
  'registry-rate-limited': '; wait before the next try',
};

/** The error that an answer other than success means. Reads the answer's body. */
export async function statusError(answer: HttpAnswer, verb: string, object: string, clock: Clock): Promise<AgentError> {
  const { status } = answer;
  const isShort = (answer.contentLength ?? 0) <= bodyLimitBytes;
  // The status is the message; a body that breaks off must not hide it.
  const body = isShort ? await answer.bytes(bodyLimitBytes).catch(() => new Uint8Array()) : new Uint8Array();
  answer.discard();
  const registryCode = registryErrorCode(body);
  const said = `${status}${registryCode === undefined ? '' : ` ${registryCode}`}`;
  const details = { status, ...(registryCode === undefined ? {} : { registryCode }) };
  if (answer.isForeign && status >= 400 && status < 500 && status !== 429) {
    return new AgentError(
      'registry-unreachable',
      `cannot ${verb} ${object}: the store that the registry redirects to refuses its link (${said})`,
      { details },
    );
  }
  const code = codeOfStatus(status) ?? 'registry-protocol-invalid';
  const retryAfterMs = parseRetryAfter(answer.header('retry-after'), clock.nowMs());
  return new AgentError(code, `cannot ${verb} ${object}: the registry answers ${said}${advice[code] ?? ''}`, {
    details: { ...details, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  });
}
