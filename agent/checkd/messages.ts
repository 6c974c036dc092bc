/*
 * Between kaond and kaon-check, each message a line of JSON in UTF-8, one request a connection:
 *   kaon-check  {"protocol":1}                                             once it can take a request
 *   kaond       {"protocol":1,"check":NAME,"settings":SHA256}              one attempt of a check
 *            or {"protocol":1,"verdict":"passed"|"failed","settings":SHA256} what the node wants done after a verdict
 *   kaon-check  {"isPassed":BOOL,"output":TEXT,"isWorking":BOOL?,"faults":[TEXT]?}
 *            or {"isConcluded":true}
 *            or {"code":CODE,"message":TEXT}                               instead of any of its messages
 * SHA256 is in hex, of the settings that kaond goes by: where kaon-check reads others, it refuses.
 */
import { z } from 'zod';
import { AgentError, type ErrorReport, isErrorCode } from '../core/errors.ts';
import type { CheckAttempt } from '../health/health-check.ts';

/** Grows when a message changes its meaning; both halves come from one package, so they must be equal. */
export const protocolVersion = 1;

/** Most bytes of what kaond sends and of what kaon-check sends, the end of the line included. */
export const lineLimits = { requestBytes: 512, answerBytes: 256 * 1024 } as const;

/** Of an output in characters; any of them takes at most six bytes of JSON. */
const outputCharacters = 4096;
const messageCharacters = 1024;
/** systemd's names of units have 255 at most. */
const faultCharacters = 300;
/** What checks find by name stands in outputs of 4 KiB. */
const mostFaults = 2048;
const faultsCharacters = 16 * 1024;

/** What kaond asks for. */
export type CheckRequest =
  | { readonly check: string; readonly settings: string }
  | { readonly verdict: 'passed' | 'failed'; readonly settings: string };

const protocol = z.literal(protocolVersion);
const settings = z.string().regex(/^[0-9a-f]{64}$/);
const checkName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);

const request = z.union([
  z.strictObject({ protocol, check: checkName, settings }),
  z.strictObject({ protocol, verdict: z.enum(['passed', 'failed']), settings }),
]);

const failure = z.object({ code: z.string().max(64), message: z.string().max(messageCharacters) });
const greeting = z.union([z.object({ protocol }), failure]);
const attempt = z.object({
  isPassed: z.boolean(),
  output: z.string().max(outputCharacters),
  isWorking: z.boolean().optional(),
  faults: z.array(z.string().max(faultCharacters)).max(mostFaults).optional(),
});
const attemptAnswer = z.union([attempt, failure]);
const concludedAnswer = z.union([z.object({ isConcluded: z.literal(true) }), failure]);

function parseLine<T>(schema: z.ZodType<T>, line: string, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = undefined;
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new AgentError('check-refused', `cannot understand the ${what}: ${JSON.stringify(line.slice(0, 100))}`);
}

function throwIfFailed(said: object): void {
  const found = failure.safeParse(said);
  if (!found.success) return;
  const { code, message } = found.data;
  throw new AgentError(isErrorCode(code) ? code : 'check-refused', message);
}

/** That kaon-check can take a request. */
export function encodeGreeting(): string {
  return `${JSON.stringify({ protocol: protocolVersion })}\n`;
}

/** Throws the error that came instead of a greeting, or `check-refused`. */
export function parseGreeting(line: string): void {
  throwIfFailed(parseLine(greeting, line, 'greeting of kaon-check'));
}

export function encodeRequest(wanted: CheckRequest): string {
  return `${JSON.stringify({ protocol: protocolVersion, ...wanted })}\n`;
}

/** What is wanted. Throws `check-refused`. */
export function parseRequest(line: string): CheckRequest {
  const { protocol: _same, ...wanted } = parseLine(request, line, 'request');
  return wanted;
}

/** What an attempt came to, cut to what an answer holds: of an output its end, and no faults where they are too many. */
export function encodeAttempt({ isPassed, output, isWorking, faults }: CheckAttempt): string {
  const isListed =
    faults !== undefined &&
    faults.length <= mostFaults &&
    faults.every(({ length }) => length <= faultCharacters) &&
    faults.reduce((sum, { length }) => sum + length, 0) <= faultsCharacters;
  return `${JSON.stringify({
    isPassed,
    output: output.slice(-outputCharacters),
    ...(isWorking === true ? { isWorking } : {}),
    ...(isListed ? { faults } : {}),
  })}\n`;
}

/** That what the node wants done after a verdict was done. */
export function encodeConcluded(): string {
  return `${JSON.stringify({ isConcluded: true })}\n`;
}

export function encodeFailure({ code, message }: ErrorReport): string {
  return `${JSON.stringify({ code, message: message.slice(0, messageCharacters) })}\n`;
}

/** What the attempt came to. Throws the error that was answered, or `check-refused`. */
export function parseAttempt(line: string): CheckAttempt {
  const said = parseLine(attemptAnswer, line, 'answer of kaon-check');
  throwIfFailed(said);
  const { isPassed, output, isWorking, faults } = attempt.parse(said);
  return {
    isPassed,
    output,
    ...(isWorking === undefined ? {} : { isWorking }),
    ...(faults === undefined ? {} : { faults }),
  };
}

/** Throws the error that was answered, or `check-refused`. */
export function parseConcluded(line: string): void {
  throwIfFailed(parseLine(concludedAnswer, line, 'answer of kaon-check'));
}
