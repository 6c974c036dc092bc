import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { Deployment, PatchOffer } from '../../../agent/core/ports.ts';
import { findPatches } from '../../../agent/update/find-patches.ts';

const base = `sha256:${'1'.repeat(64)}`;
const never = new AbortController().signal;
const offer: PatchOffer = { partition: 'root', layerDigest: base, layerSizeBytes: 50, headSizeBytes: 10 };
const deployments = { a: { digest: base } as Deployment, b: { digest: `sha256:${'2'.repeat(64)}` } as Deployment };

type Judged = Parameters<typeof findPatches>[0];

/** An image of one partition of 100 bytes, whose source has patches from `base`. */
function judged(patches: () => readonly PatchOffer[], hasIndex = true): Judged {
  const index = { layerDigest: base, layerSizeBytes: 9, headSizeBytes: 9, headDigest: base };
  const root = { name: 'root', layerDigest: base, layerSizeBytes: 100, contentSizeBytes: 200 };
  return {
    node: { booted: 'a' },
    signed: { image: {}, signatures: [] },
    source: { patches: async (_image: unknown, from: string) => (from === base ? patches() : []) },
    trusted: { partitions: [hasIndex ? { ...root, index } : root] },
  } as unknown as Judged;
}

const unheard = (error: unknown) => expect.unreachable(String(error));

describe('the patches for an update', () => {
  it('lead from the image that runs', async () => {
    expect(
      await findPatches(
        judged(() => [offer]),
        deployments,
        never,
        unheard,
      ),
    ).toEqual([offer]);
    expect(
      await findPatches(
        judged(() => [offer]),
        { b: deployments.b },
        never,
        unheard,
      ),
    ).toEqual([]);
  });

  it('are for partitions of the image with an index, and smaller than their layers', async () => {
    const others = [
      { ...offer, partition: 'data' },
      { ...offer, layerSizeBytes: 100 },
    ];
    expect(
      await findPatches(
        judged(() => others),
        deployments,
        never,
        unheard,
      ),
    ).toEqual([]);
    expect(
      await findPatches(
        judged(() => expect.unreachable(), false),
        deployments,
        never,
        unheard,
      ),
    ).toEqual([]);
  });

  it('are done without where they cannot be found, but for an update that ends', async () => {
    const failure = new AgentError('registry-unreachable', 'cannot fetch: no route');
    const heard: unknown[] = [];
    const failing = judged(() => {
      throw failure;
    });
    expect(await findPatches(failing, deployments, never, (error) => heard.push(error))).toEqual([]);
    expect(heard).toEqual([failure]);
    const ended = AbortSignal.abort(new AgentError('update-cancelled', 'cannot go on'));
    await expect(findPatches(failing, deployments, ended, unheard)).rejects.toMatchObject({ code: 'update-cancelled' });
  });
});
