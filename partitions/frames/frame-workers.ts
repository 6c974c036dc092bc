import type { FrameAnswer, FrameTask } from './frame-tasks.ts';

/** Workers on one shared memory. */
export interface FrameWorkers {
  /** How many work at the same time, at least one. */
  readonly count: number;
  /**
   * Gives `task` to the worker `lane`, or to the least busy one; a worker does its tasks in order. Rejects with
   * `layer-corrupt`, or with `slot-worker-lost` when a worker ended: all that it had is rejected, and all that comes.
   */
  run(task: FrameTask, lane?: number): Promise<FrameAnswer>;
  /** Ends the workers; what was not done is rejected. */
  close(): Promise<void>;
}

/** Starts workers that see `memory`. */
export type StartFrameWorkers = (memory: SharedArrayBuffer) => FrameWorkers;
