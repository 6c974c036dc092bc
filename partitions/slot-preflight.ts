import { PartitionError } from './errors.ts';
import { firstBlockBytes } from './partition-writer.ts';
import type { TrustedFacts } from './trusted-descriptor.ts';

/**
 * Checks that an image covers exactly the partitions of a slot (`sizes`), and that the signed content fits. Throws
 * `slot-device-refused` or `slot-too-small`.
 */
export function checkCoverage(slot: 'a' | 'b', facts: TrustedFacts, sizes: ReadonlyMap<string, number>): void {
  const names = facts.partitions.map(({ name }) => name);
  const refuse = (reason: string): PartitionError =>
    new PartitionError('slot-device-refused', `cannot write slot ${slot}: ${reason}`, {
      details: { slot, image: names, slotPartitions: [...sizes.keys()] },
    });
  if (new Set(names).size !== names.length) throw refuse('the image names a partition twice');
  const missing = [...sizes.keys()].find((name) => !names.includes(name));
  if (missing !== undefined) {
    throw refuse(`the image has no partition ${missing}; add it, or mark the partition keep in the configuration`);
  }
  for (const { name, contentSizeBytes } of facts.partitions) {
    const sizeBytes = sizes.get(name);
    if (sizeBytes === undefined) throw refuse(`the image has a partition ${name}, the slot has none or keeps it`);
    const neededBytes = Math.max(contentSizeBytes ?? 0, firstBlockBytes);
    if (neededBytes > sizeBytes) {
      throw new PartitionError(
        'slot-too-small',
        `cannot write slot ${slot}: partition ${name} needs ${neededBytes} bytes and has ${sizeBytes}`,
        { details: { slot, partition: name, neededBytes, sizeBytes } },
      );
    }
  }
}
