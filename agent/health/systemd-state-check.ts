import type { CheckAttempt, CommandRunner, HealthCheck } from './health-check.ts';

const failedQuestion = [
  'systemctl',
  'list-units',
  '--state=failed',
  '--all',
  '--full',
  '--plain',
  '--no-legend',
  '--no-pager',
];
const jobsQuestion = ['systemctl', 'list-jobs', '--full', '--plain', '--no-legend', '--no-pager'];
/** kaon-health waits for the verdict, which must not wait for it; where kaon-check does not start, kaond runs the checks. */
const ownUnits = ['kaon-health.service', 'kaon-check.service', 'kaon-check.socket'];

/**
 * Passes when no unit failed and none is still being started. Each one is a fault by its name, so that what was so before
 * an update is told from what is new.
 */
export class SystemdStateCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #ignored: ReadonlySet<string>;
  readonly #commands: CommandRunner;

  constructor(name: string, isRequired: boolean, ignored: readonly string[], commands: CommandRunner) {
    this.name = name;
    this.isRequired = isRequired;
    this.#ignored = new Set([...ownUnits, ...ignored]);
    this.#commands = commands;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    const [failed, jobs] = await Promise.all(
      [failedQuestion, jobsQuestion].map((argv) => this.#commands.run(argv, signal)),
    );
    const silent = [failed, jobs].find((outcome) => outcome?.exitCode !== 0);
    if (failed === undefined || jobs === undefined || silent !== undefined) {
      return { isPassed: false, output: `cannot ask systemd about its units: ${silent?.output ?? ''}` };
    }
    const isSeen = (unit: string) => !this.#ignored.has(unit);
    const broken = parseUnits(failed.output).filter(isSeen);
    const starting = parseStarting(jobs.output).filter(isSeen);
    const faults = [...broken, ...starting.map((unit) => `${unit} (still starting)`)];
    if (faults.length === 0) return { isPassed: true, output: 'no unit failed, none is still starting', faults };
    const parts = [
      ...(broken.length > 0 ? [`failed: ${broken.join(', ')}`] : []),
      ...(starting.length > 0 ? [`still starting: ${starting.join(', ')}`] : []),
    ];
    return { isPassed: false, output: parts.join('; '), faults };
  }
}

/** The units of `systemctl list-units --plain --no-legend`: the first word of each line. */
export function parseUnits(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[0] ?? '')
    .filter((unit) => /^[^\s.]+.*\.[a-z]+$/.test(unit))
    .sort();
}

/** The units of `systemctl list-jobs --plain --no-legend` that are being started; those that wait for others are not. */
export function parseStarting(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => /^\s*\d+\s+(\S+)\s+start\s+running\s*$/.exec(line)?.[1])
    .filter((unit) => unit !== undefined)
    .sort();
}
