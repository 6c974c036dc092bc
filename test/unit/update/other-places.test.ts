import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { withOtherPlaces } from '../../../agent/update/other-places.ts';
import { PartitionError } from '../../../partitions/errors.ts';

type Judged = Parameters<typeof withOtherPlaces>[0];

/** A source that `places` can be asked in turn for. */
function judged(places: number): { readonly image: Judged; readonly asked: () => number } {
  let left = places - 1;
  let asked = 0;
  const distrust = () => {
    asked += 1;
    left -= 1;
    return left >= 0;
  };
  return { image: { source: { distrust }, signed: { image: {} } } as unknown as Judged, asked: () => asked };
}

/** A write that fails `times` times. */
function failing(times: number, error: Error): () => Promise<string> {
  let left = times;
  return async () => {
    left -= 1;
    if (left >= 0) throw error;
    return 'written';
  };
}

describe('a write of content that nobody signed', () => {
  const foreign = new PartitionError('digest-mismatch', 'cannot use the frame: it is another');

  it('is done again as long as there is another place to fetch from', async () => {
    const { image, asked } = judged(3);
    await expect(withOtherPlaces(image, failing(2, foreign))).resolves.toBe('written');
    expect(asked()).toBe(2);
  });

  it('fails as it did last when there is none', async () => {
    await expect(withOtherPlaces(judged(2).image, failing(2, foreign))).rejects.toBe(foreign);
    const without = { source: {}, signed: { image: {} } } as unknown as Judged;
    await expect(withOtherPlaces(without, failing(1, foreign))).rejects.toBe(foreign);
  });

  it('is not done again for another reason', async () => {
    const { image, asked } = judged(3);
    const gone = new AgentError('registry-unreachable', 'cannot reach it: gone');
    await expect(withOtherPlaces(image, failing(1, gone))).rejects.toBe(gone);
    expect(asked()).toBe(0);
  });
});
