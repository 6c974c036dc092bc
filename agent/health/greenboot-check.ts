import type { GreenbootScripts, ScriptEnd } from './greenboot-scripts.ts';
import { type CheckAttempt, type HealthCheck, outputLimit } from './health-check.ts';

/** greenboot's checks of one folder: required ones up to the first that fails, wanted ones all. */
export class GreenbootCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #folder: 'check/required.d' | 'check/wanted.d';
  readonly #scripts: GreenbootScripts;

  constructor(
    name: string,
    isRequired: boolean,
    folder: 'check/required.d' | 'check/wanted.d',
    scripts: GreenbootScripts,
  ) {
    this.name = name;
    this.isRequired = isRequired;
    this.#folder = folder;
    this.#scripts = scripts;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    const paths = await this.#scripts.list(this.#folder);
    if (paths === undefined) return this.#withoutFolder();
    const failed: ScriptEnd[] = [];
    for (const path of paths) {
      if (signal.aborted) break;
      const end = await this.#scripts.run(path, signal);
      if (!end.isPassed) failed.push(end);
      if (failed.length > 0 && this.#folder === 'check/required.d') break;
    }
    if (failed.length === 0) return { isPassed: true, output: `${paths.length} scripts of ${this.#folder} passed` };
    const output = failed.map(({ script, text }) => `${script}: ${text}`).join('\n');
    return { isPassed: false, output: output.slice(0, outputLimit) };
  }

  #withoutFolder(): CheckAttempt {
    // greenboot, too, takes a node without any folder of required checks for a broken one.
    return this.#folder === 'check/required.d'
      ? { isPassed: false, output: 'no directory of greenboot has a folder check/required.d' }
      : { isPassed: true, output: 'no directory of greenboot has a folder check/wanted.d' };
  }
}
