import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { Deployment, PartitionWays, PatchOffer } from '../../../agent/core/ports.ts';
import { estimateWrite } from '../../../agent/update/estimate-write.ts';

const base = `sha256:${'1'.repeat(64)}`;
const never = new AbortController().signal;
const offer: PatchOffer = { partition: 'root', layerDigest: base, layerSizeBytes: 50, headSizeBytes: 10 };
const ways: readonly PartitionWays[] = [{ name: 'root', fullBytes: 100, indexBytes: 60, patchBytes: 55, way: 'patch' }];
const deployments = { a: { digest: base } as Deployment };

type Judged = Parameters<typeof estimateWrite>[0];
type Slots = Parameters<typeof estimateWrite>[1];

/** An image of one partition, with a patch from what is booted. */
function judged(change: Partial<Judged> = {}, patches: () => readonly PatchOffer[] = () => [offer]): Judged {
  const index = { layerDigest: base, layerSizeBytes: 9, headSizeBytes: 9, headDigest: base };
  return {
    node: { booted: 'a' },
    signed: { image: {}, signatures: [] },
    source: { patches: async () => patches() },
    trusted: { partitions: [{ name: 'root', layerDigest: base, layerSizeBytes: 100, index }] },
    blockers: [],
    isAlreadyRunning: false,
    ...change,
  } as unknown as Judged;
}

const answering: Slots = {
  estimateWrite: async (slot, _signed, _layers, _signal, patches) =>
    slot === 'b' && patches.length === 1 ? ways : expect.unreachable(),
};
const silent: Slots = { estimateWrite: async () => expect.unreachable() };

describe('the estimate of a plan', () => {
  it('is what kaon-slotd says of the slot that would be written, patches counted', async () => {
    expect(await estimateWrite(judged(), answering, deployments, never)).toEqual({ ways });
  });

  it('is not asked for where nothing would be written, or nothing could be found', async () => {
    const blockers = [{ code: 'known-bad', message: 'cannot install it' } as const];
    const trusted = { partitions: [{ name: 'root' }] } as unknown as Judged['trusted'];
    for (const change of [{ blockers }, { isAlreadyRunning: true }, { trusted }]) {
      expect(await estimateWrite(judged(change), silent, deployments, never)).toEqual({ ways: [] });
    }
  });

  it('that fails leaves a plan with a warning, but for a plan that nobody waits for', async () => {
    const failing: Slots = {
      estimateWrite: async () => {
        throw new AgentError('slot-busy', 'cannot estimate it: a change is under way');
      },
    };
    const unlisted = judged({}, () => {
      throw new AgentError('registry-unreachable', 'cannot fetch: no route');
    });
    const { warning = '', ...found } = await estimateWrite(unlisted, failing, deployments, never);
    expect(found).toEqual({ ways: [] });
    expect(warning).toContain('no route');
    expect(warning).toContain('a change is under way');
    const gone = AbortSignal.abort(new AgentError('update-cancelled', 'cannot go on'));
    await expect(estimateWrite(judged(), failing, deployments, gone)).rejects.toMatchObject({
      code: 'update-cancelled',
    });
  });
});
