import type { TransferAnswer } from './answers.ts';
import { formatBytes } from './format-values.ts';

/** What an update moved, in words; empty where nothing is known of it. */
export function transferText(transfer: TransferAnswer | undefined): string {
  if (transfer === undefined) return '';
  const { fetchedBytes, keptBytes, copiedBytes, writtenBytes, isResumed } = transfer;
  return [
    `${formatBytes(fetchedBytes)} fetched`,
    `${reusedText(transfer)} found on the node`,
    ...(keptBytes > 0 && copiedBytes > 0 ? [`${formatBytes(keptBytes)} of it in place`] : []),
    `${formatBytes(writtenBytes)} written`,
    ...(isResumed ? ['resumed'] : []),
  ].join(', ');
}

/** What need not be fetched: it was in place, or in the booted slot. */
export function reusedText({ keptBytes, copiedBytes }: TransferAnswer): string {
  return formatBytes(keptBytes + copiedBytes);
}
