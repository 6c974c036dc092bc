import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { signatureTag } from '../../../agent/oci/signature-store.ts';
import { sha256 } from '../../fakes/sample-image.ts';
import { simpleSigningPayload } from '../../fakes/signer.ts';
import type { Fault } from '../../fakes/registry-faults.ts';
import type { Attack } from './attack.ts';
import { contentBytes, craft, indexed, offer } from './images.ts';
import type { Victim } from './victim.ts';

const image = craft();
const hex = (digest: string) => digest.replace('sha256:', '');
const signaturesAt = signatureTag(image.manifest.digest) ?? '';

/** The requests of an update, in order, and where what fails in one is noticed. */
const steps = {
  manifest: { request: /manifests\/v1$/, place: 'resolve' },
  config: { request: new RegExp(hex(image.configDigest)), place: 'resolve' },
  signatures: { request: new RegExp(`manifests/${signaturesAt}$`), place: 'signatures' },
  payload: { request: new RegExp(hex(sha256(simpleSigningPayload(image.manifest.digest)))), place: 'signatures' },
  layer: { request: new RegExp(hex(image.layer.digest)), place: 'stream' },
} as const;

/** A sound, signed image, and a registry that spoils one of its answers. */
function spoilt(name: string, code: string, step: keyof typeof steps, fault: (victim: Victim) => Fault): Attack {
  const { request, place } = steps[step];
  return {
    name,
    code,
    place,
    prepare: (victim) => {
      const reference = offer(victim, image);
      victim.registry.faults.add({ request, fault: fault(victim) });
      return reference;
    },
  };
}

const eachStep = (name: string, code: string, fault: (victim: Victim) => Fault): readonly Attack[] =>
  (['manifest', 'config', 'signatures', 'payload', 'layer'] as const).map((step) =>
    spoilt(`${name}, ${step}`, code, step, fault),
  );

const second = (victim: Victim) => () => victim.clock.advance(300);

/** Attacks by how answers come. */
export const slowAndShortAttacks: readonly Attack[] = [
  ...eachStep('an end before the head', 'registry-unreachable', () => ({ kind: 'hang-up' })),
  ...eachStep('an end inside the body', 'download-truncated', () => ({ kind: 'cut', afterBytes: 20 })),
  ...eachStep('a head that trickles', 'registry-unreachable', (victim) => ({
    kind: 'trickle-head',
    beforeByte: second(victim),
  })),
  ...eachStep('a body that trickles', 'registry-unreachable', (victim) => ({
    kind: 'trickle',
    beforeByte: second(victim),
  })),
  spoilt('a body without end, manifest', 'response-too-large', 'manifest', () => ({ kind: 'endless' })),
  spoilt('a body without end, config', 'response-too-large', 'config', () => ({ kind: 'endless' })),
  spoilt('a body without end, signatures', 'response-too-large', 'signatures', () => ({ kind: 'endless' })),
  spoilt('a body without end, payload', 'signature-invalid', 'payload', () => ({ kind: 'endless' })),
  spoilt('a body without end, layer', 'response-too-large', 'layer', () => ({ kind: 'endless' })),
];

const answer = (status: number, headers: Readonly<Record<string, string>>, body = ''): (() => Fault) => {
  return () => ({ kind: 'answer', status, headers, body });
};
const redirect = (location: string) => answer(302, { location });

/** Attacks by what answers say of themselves. */
export const answerAttacks: readonly Attack[] = [
  spoilt('a Docker-Content-Digest of another manifest', 'digest-mismatch', 'manifest', () => ({
    kind: 'headers',
    headers: { 'docker-content-digest': `sha256:${'1'.repeat(64)}` },
  })),
  spoilt('a Content-Type of another kind', 'manifest-invalid', 'manifest', () => ({
    kind: 'headers',
    headers: { 'content-type': mediaTypes.ociIndex },
  })),
  spoilt('a page to log in', 'registry-protocol-invalid', 'manifest', answer(200, { 'content-type': 'text/html' })),
  spoilt('a manifest in gzip', 'registry-protocol-invalid', 'manifest', () => ({
    kind: 'headers',
    headers: { 'content-encoding': 'gzip' },
  })),
  spoilt('a layer in gzip', 'registry-protocol-invalid', 'layer', () => ({
    kind: 'headers',
    headers: { 'content-encoding': 'gzip' },
  })),
  spoilt('a layer with a bit turned', 'digest-mismatch', 'layer', () => ({ kind: 'corrupt' })),
  spoilt('a layer that is called longer', 'response-too-large', 'layer', () => ({
    kind: 'extend',
    byBytes: 4096,
    isDeclared: true,
  })),
  spoilt('a layer that is called shorter', 'download-truncated', 'layer', () => ({ kind: 'truncate', toBytes: 4096 })),
  spoilt('a part where the whole was asked', 'registry-protocol-invalid', 'layer', () => ({
    kind: 'answer',
    status: 206,
    headers: { 'content-range': `bytes 0-${contentBytes - 1}/${contentBytes}` },
    body: image.layer.bytes,
  })),
  spoilt('a wait of eleven days', 'registry-rate-limited', 'manifest', answer(429, { 'retry-after': '999999' })),
  spoilt('a redirect loop', 'registry-protocol-invalid', 'manifest', redirect('/v2/os/edge/manifests/v1')),
  spoilt('a redirect to a file', 'registry-protocol-invalid', 'manifest', redirect('file:///etc/shadow')),
  spoilt(
    'a redirect of a layer to the metadata of a cloud',
    'registry-protocol-invalid',
    'layer',
    redirect('http://169.254.169.254/latest/meta-data/'),
  ),
  spoilt(
    'a redirect with a password in it',
    'registry-protocol-invalid',
    'layer',
    redirect('http://user:password@127.0.0.1:9/'),
  ),
];

/** Attacks by a registry on another machine. */
export const remoteAttacks: readonly Attack[] = [
  ['a redirect of a layer to this machine', 'http://127.0.0.1:9/blob'],
  ['a redirect of a layer to this machine, in IPv6', 'http://[::ffff:127.0.0.1]:9/blob'],
  ['a redirect of a layer to localhost', 'http://localhost:9/blob'],
  ['a redirect of a layer to a name of this machine', 'http://blobs.cdn.test:9/blob'],
].map(([name = '', location = '']) => ({
  ...spoilt(name, 'registry-protocol-invalid', 'layer', redirect(location)),
  victim: { isElsewhere: true },
}));

const layer = indexed();

/** An image with a block index, and answers to ranges that are not what was asked. */
function spoiltRanges(name: string, code: string, fault: Fault): Attack {
  return {
    name,
    code,
    place: 'stream',
    content: layer.content,
    prepare: (victim) => {
      const crafted = craft({ indexed: layer });
      const reference = offer(victim, crafted);
      victim.registry.faults.add({ request: new RegExp(hex(layer.signed.index.layerDigest)), fault, times: 1 });
      return reference;
    },
  };
}

const indexBytes = Buffer.from(layer.indexBytes);
const headBytes = layer.signed.index.headSizeBytes;
const wrongIndex = Buffer.from(indexBytes).fill(7, 100);

/** Attacks by answers to ranges. */
export const rangeAttacks: readonly Attack[] = [
  spoiltRanges('another range than was asked', 'registry-protocol-invalid', {
    kind: 'headers',
    headers: { 'content-range': `bytes 1-${headBytes - 1}/${indexBytes.byteLength}` },
  }),
  spoiltRanges('a range of a blob of another size', 'registry-protocol-invalid', {
    kind: 'headers',
    headers: { 'content-range': `bytes 0-${headBytes - 1}/${indexBytes.byteLength + 1}` },
  }),
  spoiltRanges('another whole in answer to a range', 'digest-mismatch', {
    kind: 'answer',
    status: 200,
    body: wrongIndex,
  }),
  spoiltRanges('a range beyond the end of the blob', 'registry-protocol-invalid', { kind: 'answer', status: 416 }),
];
