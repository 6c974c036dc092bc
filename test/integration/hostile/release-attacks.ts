import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { expect } from 'vitest';
import { patternBytes } from '../../fakes/sample-image.ts';
import type { Attack } from './attack.ts';
import { contentBytes, craft, offer } from './images.ts';
import { rollbackFloor, slotBytes } from './victim.ts';

const moved = craft({ seed: 4 }, 'v1');

/** Attacks by images that a trusted key signed. */
export const releaseAttacks: readonly Attack[] = [
  {
    name: 'a replayed older image',
    code: 'downgrade-refused',
    place: 'preflight',
    prepare: (victim) => offer(victim, craft({ config: { rollbackIndex: rollbackFloor - 1 } })),
  },
  {
    name: 'an image for another product by the same key',
    code: 'image-incompatible',
    place: 'preflight',
    prepare: (victim) => offer(victim, craft({ config: { compatible: ['board-9'] } })),
  },
  {
    name: 'an image that rolled back here',
    code: 'known-bad',
    place: 'preflight',
    prepare: async (victim) => {
      const image = craft();
      await victim.rememberBad(image.manifest.digest);
      return offer(victim, image);
    },
  },
  {
    name: 'an image for an agent of another age',
    code: 'agent-too-old',
    place: 'preflight',
    prepare: (victim) => offer(victim, craft({ config: { minimumAgent: '99.0.0' } })),
  },
  {
    name: 'an image that states more than the slot has',
    code: 'slot-too-small',
    place: 'preflight',
    prepare: (victim) => {
      const content = patternBytes(slotBytes + 4096);
      const digest = craft({ layer: content }).layer.digest;
      return offer(victim, craft({ layer: content, stated: { digest, sizeBytes: content.byteLength } }));
    },
  },
  {
    name: 'a registry that holds back what is newer',
    code: 'none',
    place: 'nowhere',
    prepare: async (victim) => {
      const reference = offer(victim, craft());
      expect(await victim.attempt(reference)).toBeUndefined();
      expect(victim.offers.view?.alarm).toBeUndefined();
      victim.passDays(31);
      return reference;
    },
    after: (victim) => {
      const { quietSinceAtMs = 0, verified, alarm } = victim.offers.view ?? {};
      expect((verified?.atMs ?? 0) - quietSinceAtMs).toBe(31 * 86_400_000);
      expect(alarm?.message).toBe('nothing newer was offered to this node for more than 30 days');
    },
  },
  {
    name: 'a tag that moves between the verdict and the fetch',
    code: 'none',
    place: 'nowhere',
    prepare: (victim) => offer(victim, craft()),
    between: (victim) => void offer(victim, moved),
    after: (victim) => {
      const written = Buffer.from(victim.devices.disk('b', 'root').durableBytes().subarray(0, contentBytes));
      expect(written.equals(craft().content)).toBe(true);
    },
  },
  {
    name: 'another image under the digest of the verdict',
    code: 'digest-mismatch',
    place: 'resolve',
    prepare: (victim) => offer(victim, craft()),
    between: (victim) => {
      void offer(victim, moved);
      victim.registry.content.putManifest(
        'os/edge',
        moved.manifest.bytes,
        mediaTypes.ociManifest,
        undefined,
        craft().manifest.digest,
      );
    },
  },
  {
    name: 'the layer of another signed image',
    code: 'digest-mismatch',
    place: 'stream',
    prepare: (victim) => offer(victim, craft()),
    between: (victim) => {
      victim.registry.content.putBlob('os/edge', moved.layer.bytes, craft().layer.digest);
    },
  },
];
