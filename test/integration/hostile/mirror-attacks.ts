import { expect } from 'vitest';
import { fillRegistry } from '../../fakes/sample-image.ts';
import type { Attack } from './attack.ts';
import { contentBytes, craft, indexed, offer, sign } from './images.ts';
import type { Victim } from './victim.ts';

const image = craft();
const other = craft({ seed: 8, config: { rollbackIndex: 9 } });
const layer = indexed();

/** What was signed is in the slot, and it came from the registry where the mirror lied. */
function expectWritten(content: Uint8Array): (victim: Victim) => void {
  return (victim) => {
    const written = Buffer.from(victim.devices.disk('b', 'root').durableBytes().subarray(0, contentBytes));
    expect(written.equals(content)).toBe(true);
    expect(victim.mirror.requests.length).toBeGreaterThan(0);
  };
}

/** A sound image at the registry, and a mirror that has it too and is spoilt. */
function mirrored(name: string, content: Uint8Array, prepare: (victim: Victim) => string): Attack {
  return {
    name,
    code: 'none',
    place: 'nowhere',
    victim: { isMirrored: true },
    prepare,
    after: expectWritten(content),
  };
}

/** Attacks by a mirror, from which an honest registry still saves the node. */
export const mirrorAttacks: readonly Attack[] = [
  mirrored('a mirror that gives another layer', image.content, (victim) => {
    fillRegistry(victim.mirror.content, 'os/edge', [image]);
    victim.mirror.content.putBlob('os/edge', other.layer.bytes, image.layer.digest);
    return offer(victim, image);
  }),
  mirrored('a mirror that gives other frames', layer.content, (victim) => {
    const crafted = craft({ indexed: layer });
    fillRegistry(victim.mirror.content, 'os/edge', [crafted]);
    const wrong = Buffer.from(layer.bytes);
    wrong.fill(0, 40, 60);
    victim.mirror.content.putBlob('os/edge', wrong, layer.signed.layerDigest);
    return offer(victim, crafted);
  }),
  mirrored('a mirror that gives another config', image.content, (victim) => {
    fillRegistry(victim.mirror.content, 'os/edge', [image]);
    victim.mirror.content.putBlob('os/edge', Buffer.from('{}'), image.configDigest);
    return offer(victim, image);
  }),
  mirrored('a mirror that has another image at the tag', image.content, (victim) => {
    fillRegistry(victim.mirror.content, 'os/edge', [other]);
    const reference = offer(victim, image);
    sign(victim, 'os/edge', other.manifest.digest, victim.signers.release);
    return reference;
  }),
  mirrored('a mirror that trickles', image.content, (victim) => {
    fillRegistry(victim.mirror.content, 'os/edge', [image]);
    const beforeByte = () => victim.clock.advance(300);
    victim.mirror.faults.add({ request: /./, fault: { kind: 'trickle', beforeByte } });
    return offer(victim, image);
  }),
];
