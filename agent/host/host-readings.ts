import { Worker } from 'node:worker_threads';
import type { HostProbe, HostReadings } from '../core/ports.ts';
import { hasDefaultRoute } from './default-route.ts';
import type { CommandOutcome } from './process-command-runner.ts';

/** What the worker measures. */
export type MeasuredHost = Pick<HostReadings, 'disks' | 'memoryAvailableBytes' | 'temperatureCelsius'>;

/** Runs a program to its end. Never rejects. */
interface Commands {
  run(argv: readonly string[], signal: AbortSignal): Promise<CommandOutcome>;
}

const clockQuestion = ['timedatectl', 'show', '--property=NTPSynchronized', '--value'];

/** Reads the host: by systeminformation in a worker that ends, by the kernel's tables, and the clock by systemd. */
export class SystemHostProbe implements HostProbe {
  readonly #worker: URL;
  readonly #commands: Commands;

  /** `worker`: the URL of `host-readings-worker`. */
  constructor(worker: URL, commands: Commands) {
    this.#worker = worker;
    this.#commands = commands;
  }

  async read(paths: readonly string[], signal: AbortSignal): Promise<HostReadings> {
    const [measured, route, clock] = await Promise.all([
      this.#measure(paths, signal),
      hasDefaultRoute(),
      this.#commands.run(clockQuestion, signal),
    ]);
    return { ...measured, hasDefaultRoute: route, timeSynchronised: parseSynchronised(clock) };
  }

  async #measure(paths: readonly string[], signal: AbortSignal): Promise<MeasuredHost> {
    signal.throwIfAborted();
    const thread = new Worker(this.#worker, { execArgv: [], workerData: { paths } });
    try {
      return await new Promise((resolve, reject) => {
        thread.once('message', (measured: MeasuredHost) => resolve(measured));
        thread.once('error', (error) => reject(error instanceof Error ? error : new Error(String(error))));
        thread.once('exit', (code) => reject(new Error(`the worker that measures the host ended with ${code}`)));
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    } finally {
      await thread.terminate();
    }
  }
}

/** Reads the answer of `timedatectl`. */
export function parseSynchronised({ exitCode, output }: CommandOutcome): boolean | string {
  const answer = output.trim();
  if (exitCode === 0 && (answer === 'yes' || answer === 'no')) return answer === 'yes';
  return `timedatectl does not answer: ${answer.slice(0, 300)}`;
}
