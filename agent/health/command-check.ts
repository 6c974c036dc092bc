import type { CheckAttempt, CommandRunner, HealthCheck } from './health-check.ts';

/** EX_TEMPFAIL of sysexits.h: what the program waits for makes progress and needs more time. */
const workingExitCode = 75;

/** Passes when a program exits with 0; 75 says that it is not done and makes progress. */
export class CommandCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #argv: readonly string[];
  readonly #commands: CommandRunner;

  constructor(name: string, isRequired: boolean, argv: readonly string[], commands: CommandRunner) {
    this.name = name;
    this.isRequired = isRequired;
    this.#argv = argv;
    this.#commands = commands;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    const { exitCode, output } = await this.#commands.run(this.#argv, signal);
    if (exitCode === 0) return { isPassed: true, output };
    const ending = exitCode === undefined ? '' : `exit code ${exitCode}`;
    const working = exitCode === workingExitCode ? { isWorking: true } : {};
    return { isPassed: false, ...working, output: [ending, output].filter((part) => part !== '').join(': ') };
  }
}
