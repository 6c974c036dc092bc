import { expect } from 'vitest';
import { bundleObject, fillRegistry } from '../../fakes/sample-image.ts';
import { imageBundle } from '../../fakes/signer.ts';
import type { Attack } from './attack.ts';
import { craft } from './images.ts';
import type { Victim, VictimOptions } from './victim.ts';

const image = craft();

/** A sound image with a bundle beside it that no tag names. */
function fill({ registry, signers }: Victim) {
  const { bundle } = imageBundle(signers.release, image.manifest.digest);
  const { manifests, blobs } = bundleObject(image.manifest, [bundle]);
  fillRegistry(registry.content, 'os/edge', [image, { manifests: manifests.slice(0, -1), blobs }]);
  return { list: manifests.at(-1)?.bytes ?? Buffer.alloc(0) };
}

const emptyList = Buffer.from('{"manifests":[]}');

/** A registry whose list of referrers has its bundle on each page, and goes on where `link` says. */
function listed(name: string, link: (victim: Victim) => string, most: Partial<Attack> = {}): Attack {
  return {
    name,
    code: 'none',
    place: 'nowhere',
    prepare: (victim) => {
      const { list: body } = fill(victim);
      const headers = { link: `<${link(victim)}>; rel="next"` };
      const fault = { kind: 'answer', status: 200, headers, body } as const;
      victim.registry.faults.add({ request: /\/referrers\//, fault });
      return `${victim.host}/os/edge:v1`;
    },
    ...most,
  };
}

/** The list's second page, which names itself as the next. */
const samePage = `/v2/os/edge/referrers/${image.manifest.digest}?page=2`;

const pagesRead = ({ registry }: Victim) => registry.requests.filter(({ path }) => path.includes('/referrers/')).length;

function elsewhere(name: string, link: (victim: Victim) => string, victim: VictimOptions = {}): Attack {
  const after = ({ eavesdropper }: Victim) => expect(eavesdropper.requests).toHaveLength(0);
  return listed(name, link, { victim, after });
}

/** Attacks by the registry's list of what refers to an image. It is read twice: for the verdict, and before the fetch. */
export const referrerAttacks: readonly Attack[] = [
  // Each page is a folder below the one before.
  listed('a list without end', () => 'on/', { after: (victim) => expect(pagesRead(victim)).toBe(2 * 16) }),
  listed('a list that leads to itself', ({ registry }) => `${registry.url}${samePage}`, {
    after: (victim) => expect(pagesRead(victim)).toBe(2 * 2),
  }),
  elsewhere('a list that goes on at another port of the same host', ({ eavesdropper }) => `${eavesdropper.url}/v2/`),
  elsewhere('a list that goes on at this machine', ({ eavesdropper }) => `${eavesdropper.url}/v2/`, {
    isElsewhere: true,
  }),
  {
    name: 'a list that has its one signature at another host',
    code: 'signature-invalid',
    place: 'signatures',
    prepare: (victim) => {
      const { list } = fill(victim);
      const headers = { link: `<${victim.eavesdropper.url}/v2/>; rel="next"` };
      const first = { kind: 'answer', status: 200, headers, body: emptyList } as const;
      victim.registry.faults.add({ request: /\/referrers\//, fault: first });
      victim.eavesdropper.faults.add({ request: /./, fault: { kind: 'answer', status: 200, body: list } });
      return `${victim.host}/os/edge:v1`;
    },
    after: ({ eavesdropper }) => expect(eavesdropper.requests).toHaveLength(0),
  },
  {
    name: 'a list whose pages trickle',
    code: 'registry-unreachable',
    place: 'signatures',
    victim: { listsReferrers: true },
    prepare: (victim) => {
      fill(victim);
      const beforeByte = () => victim.clock.advance(300);
      victim.registry.faults.add({ request: /\/referrers\//, fault: { kind: 'trickle', beforeByte } });
      return `${victim.host}/os/edge:v1`;
    },
  },
];
