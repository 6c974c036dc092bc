import { Worker } from 'node:worker_threads';
import { PartitionError } from '../errors.ts';
import { type FrameAnswer, type FrameTask, type ThrownError, unpackError } from './frame-tasks.ts';
import type { FrameWorkers, StartFrameWorkers } from './frame-workers.ts';

type Message = { readonly answer: FrameAnswer } | { readonly error: ThrownError };

interface Waiting {
  readonly resolve: (answer: FrameAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** A worker makes no objects of size: what it works on lies outside its heap. */
const resourceLimits = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 };

function lost(cause: unknown): PartitionError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new PartitionError('slot-worker-lost', `cannot go on writing: a worker ended: ${reason}`, { cause });
}

/** One thread with what it was given and has not answered. */
class Lane {
  readonly #worker: Worker;
  readonly #onLost: (error: PartitionError) => void;
  #waiting: Waiting[] = [];

  constructor(program: URL, memory: SharedArrayBuffer, onLost: (error: PartitionError) => void) {
    this.#onLost = onLost;
    this.#worker = new Worker(program, { workerData: { memory }, execArgv: [], resourceLimits });
    this.#worker.on('message', (message: Message) => {
      const first = this.#waiting.shift();
      if ('answer' in message) first?.resolve(message.answer);
      else first?.reject(unpackError(message.error));
    });
    this.#worker.on('error', (error) => this.#onLost(lost(error)));
    this.#worker.on('exit', (code) => this.#onLost(lost(`its exit code is ${code}`)));
  }

  get load(): number {
    return this.#waiting.length;
  }

  run(task: FrameTask): Promise<FrameAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(task);
    });
  }

  reject(error: PartitionError): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.reject(error);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Worker threads. */
export class ThreadFrameWorkers implements FrameWorkers {
  readonly #lanes: readonly Lane[];
  #lost: PartitionError | undefined;

  /** `program` is the URL of `frame-worker`. */
  constructor(program: URL, count: number, memory: SharedArrayBuffer) {
    const onLost = (error: PartitionError) => {
      this.#lost ??= error;
      for (const lane of this.#lanes) lane.reject(this.#lost);
    };
    this.#lanes = Array.from({ length: Math.max(1, count) }, () => new Lane(program, memory, onLost));
  }

  get count(): number {
    return this.#lanes.length;
  }

  async run(task: FrameTask, lane?: number): Promise<FrameAnswer> {
    if (this.#lost !== undefined) throw this.#lost;
    const idlest = this.#lanes.reduce((best, one) => (one.load < best.load ? one : best));
    return ((lane === undefined ? undefined : this.#lanes[lane]) ?? idlest).run(task);
  }

  async close(): Promise<void> {
    this.#lost ??= lost('the write is over');
    await Promise.all(this.#lanes.map((lane) => lane.end()));
  }
}

/** Starts `count` threads for each write, at least one. */
export function threadFrameWorkers(program: URL, count: number): StartFrameWorkers {
  return (memory) => new ThreadFrameWorkers(program, count, memory);
}
