import { PartitionError } from './errors.ts';
import type { FreeRoom } from './payload-directory.ts';
import type { TrustedBoot, TrustedPayload } from './trusted-descriptor.ts';

/** A payload and the file that it is to be, below the root of the boot partition. */
export interface PlannedPayload {
  readonly payload: TrustedPayload;
  readonly name: string;
}

/** The room that a slot's payloads have: what is free, and what the slot's own files give back. */
export interface PayloadRoom extends FreeRoom {
  readonly reclaimableBytes: number;
  /** How often each payload must have room. */
  readonly copies: number;
  /** The largest file of the other slot that is copied as well, one file at a time; 0 where none is. */
  readonly otherBytes: number;
}

/** For the folder's own entries and the files of the loader that are written beside: they are small. */
const spareClusters = 8;

/**
 * The files of an image in the folder of its slot. A name holds the digest, so that an entry can never start another
 * file than the one that was staged for it, and what a killed run left whole is told from anything else.
 */
export function planPayloads({ payloads }: TrustedBoot): readonly PlannedPayload[] {
  return payloads.map((payload, index) => {
    const [, hex = ''] = payload.layerDigest.split(':');
    const suffix = payload.role === 'uki' ? '.efi' : '';
    return { payload, name: `${payload.role}-${index}-${hex.slice(0, 16)}${suffix}` };
  });
}

/** The bytes that files of these sizes take, in whole clusters. */
export function takenBytes(sizes: readonly number[], clusterBytes: number): number {
  return sizes.reduce((sum, sizeBytes) => sum + Math.ceil(sizeBytes / clusterBytes) * clusterBytes, 0);
}

/**
 * The most that must be free at once until `boot` is proven: all of its files, and beside them those that are copied, of
 * this slot or of the other one; those of the slot are removed first.
 */
export function neededBytes(
  boot: TrustedBoot,
  { clusterBytes, copies, otherBytes }: Pick<PayloadRoom, 'clusterBytes' | 'copies' | 'otherBytes'>,
): number {
  const sizes = boot.payloads.map(({ layerSizeBytes }) => layerSizeBytes);
  const ownBytes = takenBytes(sizes, clusterBytes);
  return ownBytes + Math.max(ownBytes * (copies - 1), otherBytes) + spareClusters * clusterBytes;
}

/** Throws `boot-partition-full` with the numbers when `boot` does not fit. */
export function checkRoom(slot: 'a' | 'b', boot: TrustedBoot, room: PayloadRoom): void {
  const needed = neededBytes(boot, room);
  const available = room.freeBytes + room.reclaimableBytes;
  if (needed <= available) return;
  throw new PartitionError(
    'boot-partition-full',
    `cannot stage the boot payloads of slot ${slot}: they need ${needed} bytes, the boot partition has ${room.freeBytes} free and ${room.reclaimableBytes} in the slot's old files`,
    { details: { slot, neededBytes: needed, ...room } },
  );
}
