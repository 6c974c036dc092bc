import fetch from 'node-fetch';
import { type CheckAttempt, type HealthCheck, outputLimit } from './health-check.ts';

/** Passes when a GET is answered with the wanted status; redirects are not followed. */
export class HttpCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #url: string;
  readonly #status: number;

  constructor(name: string, isRequired: boolean, url: string, status: number) {
    this.name = name;
    this.isRequired = isRequired;
    this.#url = url;
    this.#status = status;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    try {
      const response = await fetch(this.#url, { signal, redirect: 'manual', headers: { 'user-agent': 'kaon-health' } });
      const body = response.body === null ? '' : await readStart(response.body);
      const line = `${response.status} ${response.statusText}`.trim();
      return response.status === this.#status
        ? { isPassed: true, output: line }
        : { isPassed: false, output: `${line}, want ${this.#status}${body === '' ? '' : `: ${body}`}` };
    } catch (error) {
      return { isPassed: false, output: error instanceof Error ? error.message : String(error) };
    }
  }
}

/** The start of a body; the rest is never fetched. */
async function readStart(body: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const piece of body) {
    text += piece.toString();
    // Leaving the loop closes the connection.
    if (text.length >= outputLimit - 256) break;
  }
  return text.slice(0, outputLimit - 256).trim();
}
