import type { Clock } from '../core/ports.ts';
import type { CommandRunner } from './command-runner.ts';

const notifyTimeoutMs = 10_000;

/** What systemd gives to a service of Type=notify. */
export interface NotifyEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/**
 * Speaks sd_notify through `systemd-notify`, as Node has no datagram sockets of the unix kind. The messages come from a
 * child of the service, so the unit needs NotifyAccess=all. Without NOTIFY_SOCKET every verb does nothing.
 */
export class SystemdNotifier {
  readonly #environment: NotifyEnvironment;
  readonly #processId: number;
  readonly #commands: CommandRunner;
  readonly #onProblem: (message: string) => void;

  constructor(options: {
    environment: NotifyEnvironment;
    processId: number;
    commands: CommandRunner;
    /** Hears why a message did not get through. */
    onProblem: (message: string) => void;
  }) {
    this.#environment = options.environment;
    this.#processId = options.processId;
    this.#commands = options.commands;
    this.#onProblem = options.onProblem;
  }

  /** The service is up; `status` is shown by `systemctl status`. */
  async ready(status: string): Promise<void> {
    await this.#send(['READY=1', `STATUS=${oneLine(status)}`]);
  }

  async status(status: string): Promise<void> {
    await this.#send([`STATUS=${oneLine(status)}`]);
  }

  async stopping(): Promise<void> {
    await this.#send(['STOPPING=1']);
  }

  /** How often the watchdog wants to hear of us, half of its limit; `undefined` where it is not for us. */
  get watchdogIntervalMs(): number | undefined {
    const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = this.#environment;
    if (NOTIFY_SOCKET === undefined || WATCHDOG_USEC === undefined || !/^[1-9]\d{0,15}$/.test(WATCHDOG_USEC)) {
      return undefined;
    }
    if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(this.#processId)) return undefined;
    return Number(WATCHDOG_USEC) / 2000;
  }

  /**
   * Feeds the watchdog until `signal` is aborted. It starves when the event loop stands still, and while `isAlive` is
   * false: then systemd kills and restarts the service.
   */
  async feedWatchdog(clock: Clock, isAlive: () => boolean, signal: AbortSignal): Promise<void> {
    const intervalMs = this.watchdogIntervalMs;
    if (intervalMs === undefined) return;
    while (!signal.aborted) {
      if (isAlive()) await this.#send(['WATCHDOG=1']);
      const isOver = await clock.sleep(intervalMs, signal).then(
        () => false,
        () => true,
      );
      if (isOver) return;
    }
  }

  async #send(assignments: readonly string[]): Promise<void> {
    if (this.#environment.NOTIFY_SOCKET === undefined) return;
    const { exitCode, output } = await this.#commands.run(
      ['systemd-notify', ...assignments],
      AbortSignal.timeout(notifyTimeoutMs),
    );
    if (exitCode !== 0) this.#onProblem(`cannot notify systemd of ${assignments.join(' ')}: ${output}`);
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 200);
}
