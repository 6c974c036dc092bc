/**
 * Which of two copies counts, and which one is written next. The copy that counts is never written over: the other one
 * becomes valid and newer by its checksum and its flags, or it stays what it was.
 *
 *   incremental   files, block devices, NAND, UBI: the larger flags count, 0 after 255
 *   boolean       NOR: 1 is active, 0 obsolete, 255 (erased) counts as active; the old copy is made obsolete afterwards
 *   sequence      two files, where `env export -c` leaves no flags: the larger `kaon_sequence` counts, a variable under the
 *                 checksum, in hexadecimal as setexpr counts it; scripts/boot.cmd obeys it, U-Boot itself knows nothing of it
 */
import { BootloaderError } from './errors.ts';
import { decodeCopy, type EnvironmentCopy, type UbootVariable } from './ubootenv.ts';

/** How a redundant environment tells its copies apart. */
export type FlagScheme = 'incremental' | 'boolean' | 'sequence';

/** The copy that counts. */
export interface CurrentCopy {
  readonly index: 0 | 1;
  readonly copy: EnvironmentCopy;
}

/** Where the next state goes. */
export interface NextWrite {
  readonly index: 0 | 1;
  readonly flags: number | undefined;
  /** What makes the copy the newer one among its variables, where there are no flags. */
  readonly stamp: readonly UbootVariable[];
  /** The copy whose flags become 0 after the write, where flags are boolean. */
  readonly obsolete: 0 | 1 | undefined;
}

const activeFlag = 1;
/** What marks a copy as obsolete in the boolean scheme. */
export const obsoleteFlag = 0;

const sequenceVariable = 'kaon_sequence';
/** What a signed long of 32 bits holds: `itest` compares such. */
const mostSequence = 0x7fffffff;

/**
 * The copy that U-Boot takes: the only valid one, or the newer of two, the first one when both are as new. Throws
 * `boot-env-corrupt` when none is valid.
 */
export function chooseCopy(copies: readonly Uint8Array[], scheme: FlagScheme): CurrentCopy {
  const [first, second] = copies.map((bytes) => tryDecode(bytes, copies.length > 1, scheme));
  if (first?.copy !== undefined && second?.copy !== undefined) {
    return isNewer(second.copy, first.copy, scheme) ? { index: 1, copy: second.copy } : { index: 0, copy: first.copy };
  }
  if (first?.copy !== undefined) return { index: 0, copy: first.copy };
  if (second?.copy !== undefined) return { index: 1, copy: second.copy };
  throw first?.error ?? new BootloaderError('boot-env-corrupt', 'cannot read the U-Boot environment: it has no copy');
}

type Decoded =
  | { readonly copy: EnvironmentCopy; readonly error?: never }
  | { readonly copy?: never; readonly error: BootloaderError };

function tryDecode(bytes: Uint8Array, isPair: boolean, scheme: FlagScheme): Decoded {
  try {
    const copy = decodeCopy(bytes, isPair && scheme !== 'sequence');
    // A copy without its number is none: the script passes it over, too.
    if (scheme === 'sequence') sequenceOf(copy);
    return { copy };
  } catch (error) {
    if (error instanceof BootloaderError && error.code === 'boot-env-corrupt') return { error };
    throw error;
  }
}

function isNewer(copy: EnvironmentCopy, thanCopy: EnvironmentCopy, scheme: FlagScheme): boolean {
  if (scheme === 'sequence') return sequenceOf(copy) > sequenceOf(thanCopy);
  const [flags, than] = [copy.flags ?? 0, thanCopy.flags ?? 0];
  if (scheme === 'boolean') return flags !== obsoleteFlag && than === obsoleteFlag;
  if (flags === 0 && than === 255) return true;
  if (flags === 255 && than === 0) return false;
  return flags > than;
}

function sequenceOf({ variables }: EnvironmentCopy): number {
  const [, text = ''] = variables.find(([name]) => name === sequenceVariable) ?? [];
  const value = /^[0-9a-f]{1,8}$/.test(text) ? Number.parseInt(text, 16) : undefined;
  if (value !== undefined && value <= mostSequence) return value;
  throw new BootloaderError(
    'boot-env-corrupt',
    `cannot read the U-Boot environment: ${sequenceVariable} is ${JSON.stringify(text)}, want a hexadecimal number up to 7fffffff`,
    { details: { variable: sequenceVariable } },
  );
}

/**
 * Where to write after `current`; without one, where to begin anew. `count` is the number of copies. Throws
 * `boot-env-write-failed` when a sequence is at its end, which two thousand million boots are needed for.
 */
export function nextWrite(current: CurrentCopy | undefined, count: 1 | 2, scheme: FlagScheme): NextWrite {
  const plain = { stamp: [], obsolete: undefined };
  const index = current?.index === 0 ? 1 : 0;
  if (scheme === 'sequence') {
    const sequence = current === undefined ? 1 : sequenceOf(current.copy) + 1;
    if (sequence > mostSequence) {
      throw new BootloaderError(
        'boot-env-write-failed',
        `cannot write the U-Boot environment: ${sequenceVariable} cannot grow further; make both files anew`,
      );
    }
    return { ...plain, index, flags: undefined, stamp: [[sequenceVariable, sequence.toString(16)]] };
  }
  if (count === 1) return { ...plain, index: 0, flags: undefined };
  if (current === undefined) return { ...plain, index: 0, flags: activeFlag };
  if (scheme === 'boolean') return { ...plain, index, flags: activeFlag, obsolete: current.index };
  return { ...plain, index, flags: ((current.copy.flags ?? 0) + 1) % 256 };
}
