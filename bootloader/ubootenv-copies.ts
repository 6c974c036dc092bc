/**
 * Which of two copies counts, and which one is written next. The copy that counts is never written over: the other one
 * becomes valid and newer by its checksum and its flags, or it stays what it was.
 *
 *   incremental   files, block devices, NAND, UBI: the larger flags count, 0 after 255
 *   boolean       NOR: 1 is active, 0 obsolete, 255 (erased) counts as active; the old copy is made obsolete afterwards
 */
import { BootloaderError } from './errors.ts';
import { decodeCopy, type EnvironmentCopy } from './ubootenv.ts';

/** How a redundant environment tells its copies apart. */
export type FlagScheme = 'incremental' | 'boolean';

/** The copy that counts. */
export interface CurrentCopy {
  readonly index: 0 | 1;
  readonly copy: EnvironmentCopy;
}

/** Where the next state goes. */
export interface NextWrite {
  readonly index: 0 | 1;
  readonly flags: number | undefined;
  /** The copy whose flags become 0 after the write, where flags are boolean. */
  readonly obsolete: 0 | 1 | undefined;
}

const activeFlag = 1;
/** What marks a copy as obsolete in the boolean scheme. */
export const obsoleteFlag = 0;

/**
 * The copy that U-Boot takes: the only valid one, or the newer of two, the first one when both are as new. Throws
 * `boot-env-corrupt` when none is valid.
 */
export function chooseCopy(copies: readonly Uint8Array[], scheme: FlagScheme): CurrentCopy {
  const [first, second] = copies.map((bytes) => tryDecode(bytes, copies.length > 1));
  if (first?.copy !== undefined && second?.copy !== undefined) {
    return isNewer(second.copy.flags ?? 0, first.copy.flags ?? 0, scheme)
      ? { index: 1, copy: second.copy }
      : { index: 0, copy: first.copy };
  }
  if (first?.copy !== undefined) return { index: 0, copy: first.copy };
  if (second?.copy !== undefined) return { index: 1, copy: second.copy };
  throw first?.error ?? new BootloaderError('boot-env-corrupt', 'cannot read the U-Boot environment: it has no copy');
}

type Decoded =
  | { readonly copy: EnvironmentCopy; readonly error?: never }
  | { readonly copy?: never; readonly error: BootloaderError };

function tryDecode(bytes: Uint8Array, hasFlags: boolean): Decoded {
  try {
    return { copy: decodeCopy(bytes, hasFlags) };
  } catch (error) {
    if (error instanceof BootloaderError && error.code === 'boot-env-corrupt') return { error };
    throw error;
  }
}

function isNewer(flags: number, than: number, scheme: FlagScheme): boolean {
  if (scheme === 'boolean') return flags !== obsoleteFlag && than === obsoleteFlag;
  if (flags === 0 && than === 255) return true;
  if (flags === 255 && than === 0) return false;
  return flags > than;
}

/** Where to write after `current`; without one, where to begin anew. `count` is the number of copies. */
export function nextWrite(current: CurrentCopy | undefined, count: 1 | 2, scheme: FlagScheme): NextWrite {
  if (count === 1) return { index: 0, flags: undefined, obsolete: undefined };
  if (current === undefined) return { index: 0, flags: activeFlag, obsolete: undefined };
  const index = current.index === 0 ? 1 : 0;
  if (scheme === 'boolean') return { index, flags: activeFlag, obsolete: current.index };
  return { index, flags: ((current.copy.flags ?? 0) + 1) % 256, obsolete: undefined };
}
