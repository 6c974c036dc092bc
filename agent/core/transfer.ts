import type { Transfer } from './records.ts';

/** The transfer of an update that wrote nothing yet. */
export const emptyTransfer: Transfer = {
  fetchedBytes: 0,
  keptBytes: 0,
  copiedBytes: 0,
  writtenBytes: 0,
  isResumed: false,
};

/** `transfer` in a sentence's end, in bytes. */
export function transferText({ fetchedBytes, keptBytes, copiedBytes, writtenBytes, isResumed }: Transfer): string {
  return (
    `${fetchedBytes} bytes fetched, ${keptBytes} left in place, ${copiedBytes} copied from the booted slot, ` +
    `${writtenBytes} written${isResumed ? ', resumed' : ''}`
  );
}
