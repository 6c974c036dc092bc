import { AgentError } from '../core/errors.ts';
import type { Rebooter } from '../core/ports.ts';
import type { CommandRunner } from './command-runner.ts';

const rebootTimeoutMs = 30_000;

/**
 * Reboots by a command, by systemd unless another is given (tests and the demo do). Inhibitors that block were waited for
 * before, or are not waited for; those that delay are logind's to wait for.
 */
export class CommandRebooter implements Rebooter {
  readonly #commands: CommandRunner;
  readonly #argv: readonly string[];

  constructor(commands: CommandRunner, argv: readonly string[] = ['systemctl', 'reboot', '-i']) {
    this.#commands = commands;
    this.#argv = argv;
  }

  /** Resolves when the reboot was accepted. Rejects with `reboot-failed`. */
  async reboot(argument?: string): Promise<void> {
    const argv = argument === undefined ? this.#argv : [...this.#argv, `--reboot-argument=${argument}`];
    const { exitCode, killedBy, output } = await this.#commands.run(argv, AbortSignal.timeout(rebootTimeoutMs));
    // A shutdown that was accepted ends this service and the command with it, which then can't say so any more.
    if (exitCode === 0 || killedBy === 'SIGTERM') return;
    const ending = exitCode === undefined ? output : `exit code ${exitCode}: ${output}`;
    throw new AgentError('reboot-failed', `cannot reboot by ${argv.join(' ')}: ${ending}`, {
      details: { command: argv, exitCode },
    });
  }
}
