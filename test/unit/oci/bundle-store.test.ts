import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import type { ErrorCode } from '../../../agent/core/error-codes.ts';
import type { ImageStore } from '../../../agent/oci/image-store.ts';
import { collectSignatures } from '../../../agent/oci/signature-store.ts';
import { bundleObject, sampleImage } from '../../fakes/sample-image.ts';

const image = sampleImage(['v1']);
const object = bundleObject(image.manifest, [Buffer.from('{"number":1}')]);
const never = new AbortController().signal;
const resolved = {
  reference: parseReference('r.test/os/edge:v1'),
  resolvedDigest: image.manifest.digest,
  indexBytes: undefined,
  manifestDigest: image.manifest.digest,
  manifestBytes: image.manifest.bytes,
  configBytes: image.configBytes,
};

/** A repository whose list of referrers fails with `code`, and whose tag for them is filled. */
function storeThatFails(code: ErrorCode): ImageStore {
  const all = object.manifests;
  return {
    location: 'r.test/os/edge',
    missing: () => new AgentError('image-not-found', 'cannot find it'),
    find: async () => ({ bytes: image.manifest.bytes, mediaType: undefined }),
    manifest: async (digest) => all.find((one) => one.digest === digest),
    tagged: async (tag) => all.find(({ names }) => names.includes(tag)),
    blob: async (digest) => object.blobs.find((one) => one.digest === digest)?.bytes,
    referrers: async () => {
      throw new AgentError(code, 'cannot list');
    },
  };
}

describe('bundles beside an image', () => {
  it('are found at the tag where the registry refuses its list', async () => {
    expect(await collectSignatures(storeThatFails('registry-unauthorized'), resolved, never)).toHaveLength(1);
  });

  it('are not looked for any further where the registry fails', async () => {
    const collecting = collectSignatures(storeThatFails('registry-unreachable'), resolved, never);
    await expect(collecting).rejects.toMatchObject({ code: 'registry-unreachable' });
  });
});
