import { expect } from 'vitest';
import type { RegistryAuthOptions } from '../../fakes/registry-auth.ts';
import type { Attack } from './attack.ts';
import { craft, offer } from './images.ts';
import type { Victim } from './victim.ts';

const user = { username: 'node', password: 'p4ssw0rd' } as const;
const bearer: RegistryAuthOptions = { kind: 'bearer', ...user };
const credentials = { kind: 'basic', ...user } as const;

/** Nothing that proves who the node is reached the other host. */
function heardNothing(victim: Victim): void {
  const heard = JSON.stringify(victim.eavesdropper.requests);
  expect(heard).not.toMatch(/p4ssw0rd|bm9kZTpwNHNzdzByZA|token-\d/);
}

/** Attacks on the node's credentials. */
export const credentialAttacks: readonly Attack[] = [
  {
    name: 'a redirect to a host that writes credentials down',
    code: 'registry-unreachable',
    place: 'stream',
    victim: { auth: bearer, credentials },
    prepare: (victim) => {
      const image = craft();
      const location = `${victim.eavesdropper.url}/${image.layer.digest}`;
      const fault = { kind: 'answer', status: 307, headers: { location } } as const;
      victim.registry.faults.add({ request: new RegExp(image.layer.digest), fault });
      return offer(victim, image);
    },
    after: (victim) => {
      expect(victim.eavesdropper.requests.length).toBeGreaterThan(0);
      heardNothing(victim);
    },
  },
  {
    name: 'a redirect to another port of the same host',
    code: 'registry-unreachable',
    place: 'resolve',
    victim: { auth: { ...bearer, kind: 'basic' }, credentials },
    prepare: (victim) => {
      const location = `http://127.0.0.1:${victim.eavesdropper.port}/v2/os/edge/manifests/v1`;
      const fault = { kind: 'answer', status: 301, headers: { location } } as const;
      victim.registry.faults.add({ request: /manifests\/v1$/, fault, after: 1 });
      return offer(victim, craft());
    },
    after: heardNothing,
  },
  {
    name: 'a token server on another host',
    code: 'registry-unauthorized',
    place: 'resolve',
    victim: { credentials },
    prepare: (victim) => {
      const realm = `Bearer realm="${victim.eavesdropper.url}/token",service="it"`;
      const fault = { kind: 'answer', status: 401, headers: { 'www-authenticate': realm } } as const;
      victim.registry.faults.add({ request: /manifests/, fault });
      return offer(victim, craft());
    },
    after: (victim) => {
      expect(victim.eavesdropper.requests).toHaveLength(0);
    },
  },
  {
    name: 'a token server on the link of the node',
    code: 'registry-protocol-invalid',
    place: 'resolve',
    victim: { credentials },
    prepare: (victim) => {
      const realm = 'Bearer realm="http://169.254.169.254/latest/api/token"';
      const fault = { kind: 'answer', status: 401, headers: { 'www-authenticate': realm } } as const;
      victim.registry.faults.add({ request: /manifests/, fault });
      return offer(victim, craft());
    },
  },
  {
    name: 'a token that ends the header it is put in',
    code: 'registry-protocol-invalid',
    place: 'resolve',
    victim: { auth: bearer, credentials },
    prepare: (victim) => {
      const body = JSON.stringify({ token: 'x\r\nhost: evil.test' });
      victim.registry.faults.add({ request: /\/token/, fault: { kind: 'answer', status: 200, body } });
      return offer(victim, craft());
    },
  },
  {
    name: 'a token without end',
    code: 'response-too-large',
    place: 'resolve',
    victim: { auth: bearer, credentials },
    prepare: (victim) => {
      victim.registry.faults.add({ request: /\/token/, fault: { kind: 'endless' } });
      return offer(victim, craft());
    },
  },
  {
    name: 'a token that trickles',
    code: 'registry-unreachable',
    place: 'resolve',
    victim: { auth: bearer, credentials },
    prepare: (victim) => {
      const beforeByte = () => victim.clock.advance(300);
      victim.registry.faults.add({ request: /\/token/, fault: { kind: 'trickle', beforeByte } });
      return offer(victim, craft());
    },
  },
  {
    name: 'a challenge of more than 8 KiB',
    code: 'registry-protocol-invalid',
    place: 'resolve',
    victim: { credentials },
    prepare: (victim) => {
      const headers = { 'www-authenticate': `Bearer ${'a="b",'.repeat(1500)}c="d"` };
      victim.registry.faults.add({ request: /manifests/, fault: { kind: 'answer', status: 401, headers } });
      return offer(victim, craft());
    },
  },
];
