import { expect, it } from 'vitest';
import type { UpdateRequest } from '../../../agent/core/update-state.ts';
import { DownloadPacer } from '../../../agent/update/download-pacer.ts';
import { FactsKeeper } from '../../../agent/update/facts-keeper.ts';
import { ImageFetch } from '../../../agent/update/image-fetch.ts';
import type { JudgedImage } from '../../../agent/update/judge-image.ts';
import { MeteredLink } from '../../../agent/update/metered-link.ts';
import { TransferMeter } from '../../../agent/update/transfer-meter.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { ManualLink } from '../../fakes/manual-link.ts';
import { MemoryFacts } from '../../fakes/memory-facts.ts';

it('the layers of an image come at the rate that holds', async () => {
  const clock = new EagerClock();
  const judged = {
    source: {
      openLayer: async function* () {
        for (let piece = 0; piece < 10; piece += 1) yield new Uint8Array(10_000);
      },
    },
    signed: { image: {} },
    trusted: { partitions: [], boot: undefined },
  } as unknown as JudgedImage;
  const fetch = new ImageFetch(
    { judged, patches: [] },
    { id: 'u-1' } as UpdateRequest,
    {
      meter: new TransferMeter(),
      metered: new MeteredLink(new ManualLink(), { rule: 'full', limitBytes: undefined }),
      clock,
      pacer: new DownloadPacer(50_000, new FactsKeeper(new MemoryFacts()), clock),
    },
    new AbortController().signal,
  );
  let sizeBytes = 0;
  for await (const bytes of fetch.layers(`sha256:${'a'.repeat(64)}`)) sizeBytes += bytes.byteLength;
  expect([sizeBytes, clock.monotonicMs()]).toEqual([100_000, 2000]);
});
