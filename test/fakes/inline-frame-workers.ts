import { createFrameDecoder } from '../../partitions/frames/frame-decoder.ts';
import { type FrameAnswer, type FrameTask, FrameTaskRunner } from '../../partitions/frames/frame-tasks.ts';
import type { FrameWorkers } from '../../partitions/frames/frame-workers.ts';
import { PartitionError } from '../../partitions/errors.ts';

/** Does the work in this thread, a turn of the event loop later. */
export class InlineFrameWorkers implements FrameWorkers {
  readonly count = 1;
  readonly #runner: FrameTaskRunner;
  #isClosed = false;

  constructor(memory: SharedArrayBuffer) {
    this.#runner = new FrameTaskRunner(memory, createFrameDecoder());
  }

  async run(task: FrameTask): Promise<FrameAnswer> {
    await Promise.resolve();
    if (this.#isClosed) throw new PartitionError('slot-worker-lost', 'cannot go on writing: a worker ended');
    return this.#runner.run(task);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

/** A `StartFrameWorkers` of workers in this thread. */
export const inlineFrameWorkers = (memory: SharedArrayBuffer): FrameWorkers => new InlineFrameWorkers(memory);
