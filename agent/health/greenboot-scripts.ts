import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandRunner } from './health-check.ts';

/** Where greenboot's scripts lie, the earlier first. */
export const greenbootDirectories: readonly string[] = ['/usr/lib/greenboot', '/etc/greenboot'];

export type GreenbootFolder = 'check/required.d' | 'check/wanted.d' | 'green.d' | 'red.d';

/** How one script ended. */
export interface ScriptEnd {
  readonly script: string;
  readonly isPassed: boolean;
  /** Its exit code and the end of what it wrote. */
  readonly text: string;
}

const confLimitBytes = 64 * 1024;
const scriptLimit = 256;

/** greenboot's scripts, run as it runs them. */
export class GreenbootScripts {
  readonly #directories: readonly string[];
  readonly #commands: CommandRunner;

  constructor(directories: readonly string[], commands: CommandRunner) {
    this.#directories = directories;
    this.#commands = commands;
  }

  /**
   * The paths of the scripts of `folder` in the order in which they run: `*.sh` by name, one directory after the other. Checks
   * that greenboot.conf disables are left out. `undefined`: no directory has the folder.
   */
  async list(folder: GreenbootFolder): Promise<readonly string[] | undefined> {
    const found = await Promise.all(this.#directories.map((directory) => namesIn(join(directory, folder))));
    if (found.every((names) => names === undefined)) return undefined;
    const disabled = folder.startsWith('check/') ? await this.#disabled() : [];
    return found
      .flatMap((names, index) =>
        (names ?? []).map((name) => [join(this.#directories[index] ?? '', folder, name), name] as const),
      )
      .filter(([, name]) => !disabled.includes(name))
      .map(([path]) => path)
      .slice(0, scriptLimit);
  }

  /** Runs one script by bash, whether it may be executed or not; an exit code other than 0 is a failure. */
  async run(path: string, signal: AbortSignal): Promise<ScriptEnd> {
    const { exitCode, output } = await this.#commands.run(['bash', path], signal);
    const ending = exitCode === undefined || exitCode === 0 ? '' : `exit code ${exitCode}`;
    const text = [ending, output].filter((part) => part !== '').join(': ');
    return { script: path, isPassed: exitCode === 0, text };
  }

  async #disabled(): Promise<readonly string[]> {
    const texts = await Promise.all(this.#directories.map((directory) => textOf(join(directory, 'greenboot.conf'))));
    return texts.flatMap(parseDisabled);
  }
}

/** The names in the array DISABLED_HEALTHCHECKS of greenboot.conf, which bash reads; the last assignment stands. */
export function parseDisabled(conf: string): readonly string[] {
  const lines = conf.split('\n').filter((line) => !line.trimStart().startsWith('#'));
  const arrays = [...lines.join('\n').matchAll(/^[ \t]*DISABLED_HEALTHCHECKS=\(([^)]*)\)/gm)];
  const names = arrays.at(-1)?.[1]?.matchAll(/"([^"]*)"|'([^']*)'|([^\s"']+)/g) ?? [];
  return [...names].map(([, double, single, bare]) => double ?? single ?? bare ?? '').filter((name) => name !== '');
}

async function namesIn(path: string): Promise<readonly string[] | undefined> {
  const names = await readdir(path).catch(() => undefined);
  return names?.filter((name) => name.endsWith('.sh')).sort();
}

/** The text of a file, or nothing: a node without greenboot's configuration disables nothing. */
async function textOf(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(confLimitBytes), 0, confLimitBytes, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch {
    return '';
  } finally {
    await file.close();
  }
}
