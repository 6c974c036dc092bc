import { type CheckAttempt, type HealthCheck, outputLimit } from './health-check.ts';
import { type HttpAnswer, httpGet } from './http-get.ts';
import { readTlsOptions, type TlsSettings } from './tls-files.ts';

/** What is asked for, and what has to come back. */
export interface HttpSettings extends TlsSettings {
  readonly url: string;
  readonly status: number;
  /** Text that has to stand in the first 64 KiB of the body. */
  readonly bodyContains?: string | undefined;
}

const bodyLimitBytes = 64 * 1024;
const shownCharacters = outputLimit - 512;

/** Passes when a GET is answered with the wanted status and text; redirects are not followed. */
export class HttpCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #settings: HttpSettings;

  constructor(name: string, isRequired: boolean, settings: HttpSettings) {
    this.name = name;
    this.isRequired = isRequired;
    this.#settings = settings;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    const { url } = this.#settings;
    try {
      const tls = url.startsWith('https:') ? { tls: await readTlsOptions(this.#settings) } : {};
      return judgeAnswer(await httpGet(url, bodyLimitBytes, signal, tls), this.#settings);
    } catch (error) {
      return { isPassed: false, output: error instanceof Error ? error.message : String(error) };
    }
  }
}

function judgeAnswer(answer: HttpAnswer, { status, bodyContains }: HttpSettings): CheckAttempt {
  const { line, body, isWhole } = answer;
  const said = body.trim().slice(0, shownCharacters);
  const withBody = (text: string) => ({ isPassed: false, output: said === '' ? text : `${text}: ${said}` });
  if (answer.status !== status) return withBody(`${line}, want ${status}`);
  if (bodyContains === undefined || body.includes(bodyContains)) return { isPassed: true, output: line };
  const where = isWhole ? 'the body' : `the first ${bodyLimitBytes / 1024} KiB of the body`;
  return withBody(`${line}, and ${where} does not have ${JSON.stringify(bodyContains)}`);
}
