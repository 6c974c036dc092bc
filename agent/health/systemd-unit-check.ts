import type { CheckAttempt, CommandRunner, HealthCheck } from './health-check.ts';

const properties = ['LoadState', 'ActiveState', 'SubState', 'Result', 'NRestarts'];

/** Passes when a unit is active and restarted no more often than `maxRestarts` since it was first started. */
export class SystemdUnitCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #unit: string;
  readonly #maxRestarts: number | undefined;
  readonly #commands: CommandRunner;

  constructor(
    name: string,
    isRequired: boolean,
    unit: string,
    maxRestarts: number | undefined,
    commands: CommandRunner,
  ) {
    this.name = name;
    this.isRequired = isRequired;
    this.#unit = unit;
    this.#maxRestarts = maxRestarts;
    this.#commands = commands;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    const argv = ['systemctl', 'show', `--property=${properties.join(',')}`, '--', this.#unit];
    const { exitCode, output } = await this.#commands.run(argv, signal);
    if (exitCode !== 0) return { isPassed: false, output: `cannot ask systemd about ${this.#unit}: ${output}` };
    return judgeUnit(this.#unit, parseProperties(output), this.#maxRestarts);
  }
}

/** Reads the `KEY=value` lines of `systemctl show`. */
export function parseProperties(text: string): ReadonlyMap<string, string> {
  return new Map(
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

function judgeUnit(unit: string, found: ReadonlyMap<string, string>, maxRestarts: number | undefined): CheckAttempt {
  const said = properties.flatMap((key) => (found.has(key) ? [`${key}=${found.get(key) ?? ''}`] : [])).join(' ');
  const active = found.get('ActiveState');
  if (active !== 'active' && active !== 'reloading')
    return { isPassed: false, output: `${unit} is not active: ${said}` };
  const restarts = Number(found.get('NRestarts') ?? 0);
  if (maxRestarts !== undefined && !(restarts <= maxRestarts)) {
    return { isPassed: false, output: `${unit} restarted more than ${maxRestarts} times: ${said}` };
  }
  return { isPassed: true, output: said };
}
