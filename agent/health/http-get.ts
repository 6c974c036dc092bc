import { Agent } from 'node:https';
import fetch from 'node-fetch';
import type { TlsOptions } from './tls-files.ts';

/** The answer to a GET. */
export interface HttpAnswer {
  readonly status: number;
  /** `503 Service Unavailable`. */
  readonly line: string;
  /** Its first bytes as text. */
  readonly body: string;
  /** Whether `body` is all of it. */
  readonly isWhole: boolean;
}

/**
 * One GET without redirects on a connection of its own, at most `limitBytes` of whose body are read. Rejects with what
 * went wrong below HTTP.
 */
export async function httpGet(
  url: string,
  limitBytes: number,
  signal: AbortSignal,
  { tls, headers }: { readonly tls?: TlsOptions; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<HttpAnswer> {
  const response = await fetch(url, {
    signal,
    redirect: 'manual',
    headers: { 'user-agent': 'kaon-health', ...headers },
    ...(tls === undefined ? {} : { agent: new Agent({ ...tls, keepAlive: false }) }),
  });
  const { text, isWhole } =
    response.body === null ? { text: '', isWhole: true } : await readStart(response.body, limitBytes);
  return {
    status: response.status,
    line: `${response.status} ${response.statusText}`.trim(),
    body: text,
    isWhole,
  };
}

/** The start of a body; the rest is never fetched. */
async function readStart(
  body: NodeJS.ReadableStream,
  limitBytes: number,
): Promise<{ readonly text: string; readonly isWhole: boolean }> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of body) {
    const bytes = Buffer.from(piece);
    pieces.push(bytes);
    sizeBytes += bytes.byteLength;
    // Leaving the loop closes the connection.
    if (sizeBytes > limitBytes) break;
  }
  const text = Buffer.concat(pieces).subarray(0, limitBytes).toString('utf8');
  return { text, isWhole: sizeBytes <= limitBytes };
}
