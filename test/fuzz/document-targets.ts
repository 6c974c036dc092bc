import { parseConfig } from '../../agent/config/parse-config.ts';
import { parseImageConfig, partitionLayers } from '../../agent/core/image-format/image-config.ts';
import { manifestLimits, parseManifest, parseManifestOrIndex } from '../../agent/core/image-format/manifest.ts';
import { parsePatchManifest } from '../../agent/core/image-format/patch-manifest.ts';
import { formatReference, parseReference } from '../../agent/core/image-format/reference.ts';
import { ambiguityOf } from '../../agent/core/image-format/strict-json.ts';
import { parseReferrers } from '../../agent/oci/referrers.ts';
import { decodeSignedImage, parseAnswer, parseFromClient, parseRequest } from '../../agent/slotd/messages.ts';
import { encodeMessage, FrameReader } from '../../agent/slotd/wire-frames.ts';
import { parseEnvelope } from '../../agent/trust/dsse.ts';
import { parseTrustKey } from '../../agent/trust/keys.ts';
import { parseSimpleSigning } from '../../agent/trust/simple-signing.ts';
import { decodeSignature } from '../../agent/trust/verify-signature.ts';
import { sampleImage, sampleIndex } from '../fakes/sample-image.ts';
import { dsseEnvelope, makeSigner, simpleSigningPayload } from '../fakes/signer.ts';
import { configSeeds } from './config-seeds.ts';
import { bytesOf, type FuzzTarget, promise, textOf } from './target.ts';

const digest = `sha256:${'0a'.repeat(32)}`;
const image = sampleImage(['v1']);
const index = sampleIndex([{ image: image.manifest, architecture: 'amd64' }], ['v1']);
const signer = makeSigner('ed25519');
const json = (value: unknown) => bytesOf(JSON.stringify(value));

const patches = {
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  artifactType: 'application/vnd.kaon.patches.v1',
  config: { mediaType: 'application/vnd.oci.empty.v1+json', digest, size: 2 },
  subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 700 },
  annotations: { 'io.kaon.patch.base': digest },
  layers: [
    {
      mediaType: 'application/vnd.kaon.patch.v1',
      digest,
      size: 5000,
      annotations: { 'io.kaon.patch.partition': 'root', 'io.kaon.patch.head-size': '100' },
    },
  ],
};

function parseJsonText(bytes: Uint8Array): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(textOf(bytes)) };
  } catch {
    return undefined;
  }
}

/** What both readers say of JSON: ours refuses some of what the language reads, and reads none that it refuses. */
function checkStrictness(bytes: Uint8Array): void {
  const text = textOf(bytes);
  const parsed = parseJsonText(bytes);
  if (parsed === undefined || ambiguityOf(text) !== undefined) return;
  const isSame = JSON.stringify(JSON.parse(JSON.stringify(parsed.value))) === JSON.stringify(parsed.value);
  promise(isSame, 'a document that is clear is one value');
}

const write = {
  protocol: 2,
  method: 'write-slot',
  slot: 'b',
  image: {
    reference: 'registry.test/os/edge:v2',
    resolvedDigest: digest,
    manifestDigest: digest,
    manifest: 'e30=',
    config: 'e30=',
    signatures: [{ payload: 'e30=', signature: 'AAAA', source: 'here' }],
  },
  patches: [{ partition: 'root', layerDigest: digest, layerSizeBytes: 10, headSizeBytes: 5 }],
};

async function readMessages(bytes: Uint8Array): Promise<void> {
  const half = bytes.byteLength >> 1;
  const reader = new FrameReader(
    (async function* () {
      yield bytes.subarray(0, half);
      yield bytes.subarray(half);
    })(),
  );
  let count = 0;
  for (let frame = await reader.next(); frame !== undefined; frame = await reader.next()) {
    if (frame.kind !== 'message') continue;
    count += 1;
    const request = count === 1 ? parseRequest(frame.value) : parseFromClient(frame.value);
    if ('image' in request) decodeSignedImage(request.image);
  }
}

/** Documents: what registries, publishers, people and kaond send. */
export const documentTargets: readonly FuzzTarget[] = [
  {
    name: 'reference',
    seeds: [
      'registry.acme.io/os/edge:v2',
      `localhost:5000/a/b-c__d.e@${digest}`,
      '[2001:db8::1]:5000/os/edge:V_1.2-3',
      `edge:latest@sha512:${'0a'.repeat(64)}`,
    ].map(bytesOf),
    parse: (bytes) => {
      const reference = parseReference(textOf(bytes));
      const again = parseReference(formatReference(reference));
      const tag = reference.tag ?? (reference.digest === undefined ? 'latest' : undefined);
      promise(JSON.stringify(again) === JSON.stringify({ ...reference, tag }), 'a reference is what it is written as');
    },
  },
  {
    name: 'manifest',
    seeds: [image.manifest.bytes, index.bytes],
    parse: (bytes) => {
      parseManifestOrIndex(bytes);
      checkStrictness(bytes);
    },
  },
  {
    name: 'image-config',
    seeds: [image.configBytes],
    parse: (bytes) => partitionLayers(parseManifest(image.manifest.bytes), parseImageConfig(bytes)),
  },
  { name: 'patch-manifest', seeds: [json(patches)], parse: parsePatchManifest },
  {
    name: 'referrers',
    seeds: [json({ schemaVersion: 2, manifests: [{ mediaType: 'a/b', digest, size: 1, annotations: { a: 'b' } }] })],
    parse: (bytes) => {
      promise(parseReferrers(bytes).length <= manifestLimits.manifestBytes, 'a list has an end');
    },
  },
  {
    name: 'dsse',
    seeds: [json(dsseEnvelope('application/vnd.kaon.trigger.v1+json', bytesOf('{}'), [signer]))],
    parse: (bytes) => {
      const parsed = parseJsonText(bytes);
      if (parsed !== undefined) parseEnvelope(parsed.value);
    },
  },
  { name: 'simple-signing', seeds: [simpleSigningPayload(digest)], parse: parseSimpleSigning },
  {
    name: 'signature-text',
    seeds: [bytesOf(signer.sign(bytesOf('x')).toString('base64'))],
    parse: (bytes) => {
      const decoded = decodeSignature(textOf(bytes));
      const isOneSpelling = decoded === undefined || Buffer.from(decoded).toString('base64') === textOf(bytes);
      promise(isOneSpelling, 'a signature has one spelling');
    },
  },
  {
    name: 'trust-key',
    seeds: (['ed25519', 'ecdsa-p256'] as const).map((kind) => makeSigner(kind).publicPem),
    parse: (bytes) => parseTrustKey('fuzz', bytes),
  },
  {
    name: 'config',
    seeds: configSeeds,
    parse: (bytes) => parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text: textOf(bytes) }] }),
  },
  {
    name: 'slotd-messages',
    seeds: [
      Buffer.concat([encodeMessage(write), encodeMessage({ type: 'layer-end' })]),
      encodeMessage({ protocol: 2, method: 'activate', slot: 'b', tries: 3, digest }),
    ],
    parse: readMessages,
  },
  {
    name: 'slotd-answers',
    seeds: [
      json({ type: 'want-layer', digest, ranges: [{ offset: 0, sizeBytes: 1 }] }),
      json({ type: 'error', code: 'slot-busy', message: 'it is', details: {} }),
    ],
    parse: (bytes) => {
      const parsed = parseJsonText(bytes);
      if (parsed !== undefined) parseAnswer(parsed.value);
    },
  },
];
