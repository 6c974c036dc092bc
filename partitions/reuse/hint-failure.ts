import { PartitionError } from '../errors.ts';

/** What was only to spare bytes cannot be used: the write goes on without it. */
export class HintFailure extends Error {}

/**
 * The result of `action`, or a `HintFailure` in the place of its error; but for `slot-write-stalled`: the kernel may still
 * put bytes into memory that was given to a device like that, so that nothing may go on with it.
 */
export async function asHint<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof PartitionError && cause.code === 'slot-write-stalled') throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HintFailure(`cannot reuse what the node has: ${reason}`, { cause });
  }
}
