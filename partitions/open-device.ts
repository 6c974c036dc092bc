import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { identityOf } from './device-tree.ts';
import { PartitionError } from './errors.ts';
import { allocateAligned } from './linux-block-device.ts';

/** An opened device, and whether it was opened for direct I/O. */
export interface OpenedHandle {
  readonly handle: FileHandle;
  readonly isDirect: boolean;
}

function hasErrno(error: unknown, errno: string): boolean {
  return error instanceof Error && 'code' in error && error.code === errno;
}

async function openPath(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (cause) {
    // Kept apart for the fallback: a file system without direct I/O says EINVAL.
    if (hasErrno(cause, 'EINVAL')) throw cause;
    if (hasErrno(cause, 'EBUSY')) {
      throw new PartitionError('slot-busy', `cannot open ${path}: the kernel has it mounted, claimed or opened`, {
        details: { device: path, errno: 'EBUSY' },
        cause,
      });
    }
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw new PartitionError('slot-device-unreadable', `cannot open ${path}: ${errno}`, {
      details: { device: path, errno },
      cause,
    });
  }
}

/** Some file systems take the flag and refuse the I/O: one read tells. */
async function takesDirectReads(handle: FileHandle, alignmentBytes: number): Promise<boolean> {
  try {
    await handle.read(allocateAligned(alignmentBytes), 0, alignmentBytes, 0);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EINVAL')) return false;
    // The read of a real device that fails is met again, and named, when content is written.
    return true;
  }
}

/**
 * Opens a block device (`O_EXCL`: the kernel refuses a mounted or claimed one) or a file for reading and writing, with
 * direct I/O where it is possible, and checks that it is the very thing `id` names. Creates and truncates nothing.
 * Throws `slot-busy`, `slot-device-unreadable`, or `slot-device-refused` when the path names another thing by now.
 */
export async function openExclusively(
  path: string,
  expected: { readonly kind: 'block' | 'file'; readonly id: string },
  alignmentBytes: number,
): Promise<OpenedHandle> {
  // On a plain file O_EXCL without O_CREAT has no defined meaning.
  return openChecked(
    path,
    expected,
    alignmentBytes,
    constants.O_RDWR | (expected.kind === 'block' ? constants.O_EXCL : 0),
  );
}

/**
 * Opens a block device or a file for nothing but reading, mounted or not, with direct I/O where it is possible, and checks
 * that it is the very thing `id` names. Throws `slot-device-unreadable` or `slot-device-refused`.
 */
export async function openForReading(
  path: string,
  expected: { readonly kind: 'block' | 'file'; readonly id: string },
  alignmentBytes: number,
): Promise<OpenedHandle> {
  return openChecked(path, expected, alignmentBytes, constants.O_RDONLY);
}

async function openChecked(
  path: string,
  expected: { readonly kind: 'block' | 'file'; readonly id: string },
  alignmentBytes: number,
  flags: number,
): Promise<OpenedHandle> {
  let opened: OpenedHandle | undefined;
  try {
    opened = { handle: await openPath(path, flags | constants.O_DIRECT), isDirect: true };
    if (!(await takesDirectReads(opened.handle, alignmentBytes))) {
      await opened.handle.close();
      opened = undefined;
    }
  } catch (error) {
    if (!hasErrno(error, 'EINVAL')) throw error;
  }
  opened ??= { handle: await openPath(path, flags), isDirect: false };
  const found = identityOf(await opened.handle.stat());
  if (found.kind === expected.kind && found.id === expected.id) return opened;
  await opened.handle.close();
  throw new PartitionError('slot-device-refused', `cannot open ${path}: it became another device while it was opened`, {
    details: { device: path, want: expected.id, found: found.id },
  });
}
