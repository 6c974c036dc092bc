import { Worker } from 'node:worker_threads';

/** What stays the same while a system runs. `undefined` for what is not known. */
export interface SystemFacts {
  readonly osName: string | undefined;
  readonly osVersion: string | undefined;
  readonly kernel: string | undefined;
  readonly cpu: string | undefined;
  readonly virtualization: string | undefined;
}

/**
 * Asks systeminformation in a worker of its own and ends it: the library calls `hostname -f` and the like synchronously,
 * which waits for the network, and its 10 MiB would stay. `worker` is the URL of `system-facts-worker`. Rejects when
 * there is no answer within `timeoutMs`.
 */
export async function readSystemFacts(worker: URL, timeoutMs: number): Promise<SystemFacts> {
  const thread = new Worker(worker, { execArgv: [] });
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      thread.once('message', (facts: SystemFacts) => {
        clearTimeout(timer);
        resolve(facts);
      });
      thread.once('error', (error) => {
        clearTimeout(timer);
        reject(error instanceof Error ? error : new Error(String(error)));
      });
    });
  } finally {
    await thread.terminate();
  }
}
