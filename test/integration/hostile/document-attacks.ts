import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { fillRegistry, sha256 } from '../../fakes/sample-image.ts';
import type { Attack } from './attack.ts';
import { asManifest, craft, type Draft, offer, sign } from './images.ts';
import type { Victim } from './victim.ts';

const MiB = 1024 * 1024;

/** An image that is signed, and whose documents are not sound. */
const signed = (name: string, code: string, draft: Draft, place: Attack['place'] = 'resolve'): Attack => ({
  name,
  code,
  place,
  prepare: (victim) => offer(victim, craft(draft)),
});

const digest = `sha256:${'0'.repeat(64)}`;
const amd64 = { os: 'linux', architecture: 'amd64' };

/** A signed index at the tag v1. */
function offerIndex(victim: Victim, entries: readonly object[]): string {
  const value = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries };
  const index = asManifest(Buffer.from(JSON.stringify(value)), ['v1'], mediaTypes.ociIndex);
  fillRegistry(victim.registry.content, 'os/edge', [{ manifests: [index], blobs: [] }]);
  sign(victim, 'os/edge', index.digest, victim.signers.release);
  return `${victim.host}/os/edge:v1`;
}

function entryOf({ bytes, mediaType, digest: own }: ReturnType<typeof asManifest>): object {
  return { mediaType, digest: own, size: bytes.byteLength, platform: amd64 };
}

/** Attacks by manifests, indexes and configs. */
export const documentAttacks: readonly Attack[] = [
  signed('a manifest of 5 MiB', 'response-too-large', { manifestText: (text) => text.padEnd(5 * MiB) }),
  signed('a manifest of 100,000 nested arrays', 'manifest-invalid', {
    manifestText: (text) => text.replace('{', `{"annotations":${'['.repeat(100_000)}${']'.repeat(100_000)},`),
  }),
  signed('a manifest with a key twice', 'manifest-invalid', {
    manifestText: (text) => text.replace('"layers"', '"layers":[],"layers"'),
  }),
  signed('a manifest with a key __proto__', 'manifest-invalid', {
    manifestText: (text) => text.replace('{', '{"__proto__":{"isTrusted":true},'),
  }),
  signed(
    'a config with a key twice',
    'manifest-invalid',
    {
      configText: (text) => text.replace('"rollbackIndex":5', '"rollbackIndex":5,"rollbackIndex":99'),
    },
    'trust',
  ),
  signed('a manifest that is no UTF-8', 'manifest-invalid', {
    manifest: (value) => ({ ...value, annotations: { title: 'fine' } }),
    manifestBytes: (bytes) => Buffer.from(bytes.toString('latin1').replace('fine', 'f\u00efne'), 'latin1'),
  }),
  signed('10,000 layers', 'manifest-invalid', {
    manifest: (value) => ({ ...value, layers: Array.from({ length: 10_000 }, () => value.layers[0]) }),
  }),
  signed('a digest with a path in it', 'manifest-invalid', {
    manifest: (value) => ({ ...value, config: { ...value.config, digest: 'sha256:../../../../etc/shadow' } }),
  }),
  signed('a layer of 2^60 bytes', 'manifest-invalid', {
    manifestText: (text) => text.replace(/"size":\d+(?=\}\])/, '"size":1152921504606846976'),
  }),
  signed('a document that is manifest and index at once', 'manifest-invalid', {
    manifest: (value) => ({ ...value, manifests: [] }),
  }),
  signed('a config of 2 MiB', 'response-too-large', { configText: (text) => text.padEnd(2 * MiB) }),
  signed('a config that its descriptor calls smaller', 'manifest-invalid', {
    manifest: (value) => ({ ...value, config: { ...value.config, size: 10 } }),
  }),
  signed(
    'two partitions in one layer',
    'manifest-invalid',
    {
      config: {
        partitions: ['root', 'boot'].map((name) => ({ name, layer: sha256(craft().layer.bytes) })),
      },
    },
    'trust',
  ),
  signed(
    'a layer that no partition names',
    'manifest-invalid',
    {
      manifest: (value) => ({
        ...value,
        layers: [...value.layers, { mediaType: 'application/x-evil', digest, size: 1 }],
      }),
    },
    'trust',
  ),
  {
    name: 'annotations that contradict the signed config',
    code: 'none',
    place: 'nowhere',
    prepare: (victim) => {
      const lies = { 'io.kaon.partition': 'boot', 'io.kaon.compatible': 'board-9', 'io.kaon.rollback-index': '0' };
      const manifest = (value: object) => ({ ...value, annotations: lies });
      return offer(victim, craft({ manifest }));
    },
  },
  {
    name: 'a config with other bytes than its digest says',
    code: 'digest-mismatch',
    place: 'resolve',
    prepare: (victim) => {
      const image = craft();
      const reference = offer(victim, image);
      const other = craft({ config: { compatible: ['board-9'] } });
      const bytes = other.blobs.at(-1)?.bytes ?? Buffer.alloc(0);
      victim.registry.content.putBlob('os/edge', bytes, image.configDigest);
      return reference;
    },
  },
  {
    name: 'an index that names itself',
    code: 'manifest-invalid',
    place: 'resolve',
    prepare: (victim) => offerIndex(victim, [{ mediaType: mediaTypes.ociIndex, digest, size: 200, platform: amd64 }]),
  },
  {
    name: 'an index in the place of the manifest that it names',
    code: 'digest-mismatch',
    place: 'resolve',
    prepare: (victim) => {
      const image = craft();
      const reference = offerIndex(victim, [entryOf(image.manifest)]);
      victim.registry.faults.add({
        request: new RegExp(image.manifest.digest),
        fault: { kind: 'answer', status: 200, headers: { 'content-type': mediaTypes.ociManifest }, body: '{}' },
      });
      return reference;
    },
  },
  {
    name: 'an index without an image for this machine',
    code: 'platform-not-found',
    place: 'resolve',
    prepare: (victim) =>
      offerIndex(victim, [{ ...entryOf(craft().manifest), platform: { os: 'linux', architecture: 's390x' } }]),
  },
  {
    name: 'the manifest of one release in the signed index of another',
    code: 'digest-mismatch',
    place: 'resolve',
    prepare: (victim) => {
      const [image, older] = [craft(), craft({ seed: 2, config: { version: '1' } }, 'v0')];
      fillRegistry(victim.registry.content, 'os/edge', [image, older]);
      victim.registry.content.putManifest(
        'os/edge',
        older.manifest.bytes,
        mediaTypes.ociManifest,
        undefined,
        image.manifest.digest,
      );
      return offerIndex(victim, [entryOf(image.manifest)]);
    },
  },
];
