/** The program of one worker thread: takes tasks, answers each, in order. Named only in composition roots. */
import { parentPort, workerData } from 'node:worker_threads';
import { createFrameDecoder } from './frame-decoder.ts';
import { type FrameTask, FrameTaskRunner, packError } from './frame-tasks.ts';

const { memory } = workerData as { readonly memory: SharedArrayBuffer };
const runner = new FrameTaskRunner(memory, createFrameDecoder());
const port = parentPort;
port?.on('message', (task: FrameTask) => {
  try {
    port.postMessage({ answer: runner.run(task) });
  } catch (error) {
    port.postMessage({ error: packError(error) });
  }
});
