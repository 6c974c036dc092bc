import { statfs } from 'node:fs/promises';
import { arch, freemem, hostname, totalmem, uptime } from 'node:os';
import type { Clock } from '../core/ports.ts';
import type { SystemFacts } from './system-facts.ts';

/** The node as the status shows it. `undefined` for what is not known, or not yet. */
export interface NodeFacts {
  readonly hostname: string;
  readonly architecture: string;
  readonly uptimeMs: number;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly stateDirTotalBytes: number | undefined;
  readonly stateDirAvailableBytes: number | undefined;
  readonly system: SystemFacts | undefined;
}

/** The first seconds belong to the verdict on a trial: dozens of programs are started for what only the status shows. */
const systemAfterMs = 30_000;

interface Disk {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/**
 * Facts about the node that can always be read at once: slow ones are fetched beside, and a read shows what is known.
 * What can't be fetched is told to `onProblem`.
 */
export class NodeFactsReader {
  readonly #stateDir: string;
  readonly #readSystem: () => Promise<SystemFacts>;
  readonly #onProblem: (error: unknown) => void;
  #system: SystemFacts | undefined;
  #disk: Disk | undefined;
  #isRefreshing = false;

  constructor(stateDir: string, readSystem: () => Promise<SystemFacts>, onProblem: (error: unknown) => void) {
    this.#stateDir = stateDir;
    this.#readSystem = readSystem;
    this.#onProblem = onProblem;
  }

  /**
   * Fetches the room in the state directory, and after half a minute what stays the same, once; the latter not at all
   * once `signal` is aborted. Never rejects.
   */
  async start(clock: Clock, signal: AbortSignal): Promise<void> {
    await Promise.all([this.#refreshDisk(), this.#readSystemLater(clock, signal)]);
  }

  /** What is known now; the room in the state directory is as of the read before. */
  read(): NodeFacts {
    void this.#refreshDisk();
    return {
      hostname: hostname(),
      architecture: arch(),
      uptimeMs: Math.round(uptime() * 1000),
      memoryTotalBytes: totalmem(),
      memoryAvailableBytes: freemem(),
      stateDirTotalBytes: this.#disk?.totalBytes,
      stateDirAvailableBytes: this.#disk?.availableBytes,
      system: this.#system,
    };
  }

  async #readSystemLater(clock: Clock, signal: AbortSignal): Promise<void> {
    // A sleep rejects when it is aborted, and for nothing else.
    await clock.sleep(systemAfterMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    await this.#readSystem().then((system) => (this.#system = system), this.#onProblem);
  }

  async #refreshDisk(): Promise<void> {
    // A file system that hangs holds one thread, not one for each read.
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    try {
      const { bsize, blocks, bavail } = await statfs(this.#stateDir);
      this.#disk = { totalBytes: bsize * blocks, availableBytes: bsize * bavail };
    } catch (error) {
      this.#disk = undefined;
      this.#onProblem(error);
    } finally {
      this.#isRefreshing = false;
    }
  }
}
