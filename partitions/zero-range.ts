import { spawn } from 'node:child_process';

/** An opened device or file, as a zeroer needs it. */
export interface ZeroTarget {
  readonly descriptor: number;
  readonly kind: 'block' | 'file';
}

/**
 * Has the kernel zero a range of what is open as `target`. Resolves to `false` where it cannot, and the range may then
 * hold anything; durable only after a flush. Ends early, as `false`, when `signal` aborts.
 */
export type ZeroRange = (
  target: ZeroTarget,
  offset: number,
  sizeBytes: number,
  signal: AbortSignal,
) => Promise<boolean>;

/** The child's name for the descriptor that it is given: the very device that is open, whatever its path names by now. */
const inChild = '/proc/self/fd/3';

function commandFor(kind: ZeroTarget['kind'], offset: number, sizeBytes: number): readonly [string, readonly string[]] {
  const range = ['--offset', String(offset), '--length', String(sizeBytes)];
  return kind === 'block'
    ? // BLKZEROOUT: zeros for certain, where a discard gives what the device likes. Forced, since we hold it exclusively.
      ['blkdiscard', ['--zeroout', '--force', ...range, inChild]]
    : ['fallocate', ['--punch-hole', '--keep-size', ...range, inChild]];
}

/** A `ZeroRange` by util-linux: Node has no ioctl. Where the program is missing or fails, zeros have to be written. */
export const zeroRangeByCommand: ZeroRange = ({ descriptor, kind }, offset, sizeBytes, signal) => {
  const [program, args] = commandFor(kind, offset, sizeBytes);
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'ignore', descriptor], signal });
    // A program that is not there, or was ended by the signal: `exit` may not come.
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
};
