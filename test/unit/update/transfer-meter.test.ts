import { describe, expect, it } from 'vitest';
import type { WriteProgress } from '../../../agent/core/ports.ts';
import { TransferMeter } from '../../../agent/update/transfer-meter.ts';

function progress(changes: Partial<WriteProgress>): WriteProgress {
  const counts = { fetchedBytes: 0, layerSizeBytes: 100, writtenBytes: 0, keptBytes: 0, copiedBytes: 0 };
  return { step: 'write', partition: 'root', ...counts, ...changes };
}

describe('a transfer', () => {
  it('is counted over all runs of its write, and what an earlier run left is no second find', () => {
    const meter = new TransferMeter();
    meter.begin('u-1', undefined);
    meter.addFetched(30);
    meter.note(progress({ writtenBytes: 60, keptBytes: 10, copiedBytes: 20, resumedBytes: 0, durableBytes: 50 }));
    expect(meter.durableBytes).toBe(50);
    meter.begin('u-1', undefined);
    expect(meter.durableBytes).toBe(0);
    meter.addFetched(25);
    meter.note(progress({ writtenBytes: 100, keptBytes: 52, copiedBytes: 3, resumedBytes: 50 }));
    expect(meter.of('u-1')).toEqual({
      fetchedBytes: 55,
      keptBytes: 12,
      copiedBytes: 23,
      writtenBytes: 98,
      isResumed: true,
    });
    expect(meter.of('u-2')).toBeUndefined();
  });

  it('goes on from what the record says after a restart, and from nothing for another update', () => {
    const recorded = { fetchedBytes: 7, keptBytes: 1, copiedBytes: 2, writtenBytes: 3, isResumed: true };
    const meter = new TransferMeter();
    meter.begin('u-1', recorded);
    expect(meter.of('u-1')).toEqual(recorded);
    meter.begin('u-2', undefined);
    expect(meter.of('u-2')).toMatchObject({ fetchedBytes: 0, isResumed: false });
  });

  it('is not changed by the progress of boot payloads, which has other counts', () => {
    const meter = new TransferMeter();
    meter.begin('u-1', undefined);
    meter.note(progress({ writtenBytes: 60, keptBytes: 10 }));
    meter.note({ step: 'write', partition: 'kernel', fetchedBytes: 1, layerSizeBytes: 1, writtenBytes: 1 });
    expect(meter.of('u-1')).toMatchObject({ writtenBytes: 50, keptBytes: 10 });
  });
});
