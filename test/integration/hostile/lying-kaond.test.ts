import { evidenceLimits } from '../../../agent/core/image-source.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SlotdServer } from '../../../agent/slotd/server.ts';
import { encodeMessage } from '../../../agent/slotd/wire-frames.ts';
import type { cutRanges } from '../../fakes/cut-ranges.ts';
import { type Answer, dataFrame, layerEnd, LyingKaond } from '../../fakes/lying-kaond.ts';
import { sha256 } from '../../fakes/sample-image.ts';
import { simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import { type Crafted, craft, indexed, offer } from './images.ts';
import { slotBytes, Victim } from './victim.ts';

let victim: Victim;
let server: Server;
let folder = '';
let liar: LyingKaond;

beforeEach(async () => {
  victim = await Victim.start();
  folder = await mkdtemp(join(tmpdir(), 'kaon-liar-'));
  const slotd = new SlotdServer(
    async () => victim.service,
    () => 0,
    () => undefined,
  );
  server = createServer((socket) => void slotd.serve(socket));
  const path = join(folder, 'slotd.sock');
  await new Promise<void>((resolve) => {
    server.listen(path, resolve);
  });
  liar = new LyingKaond(path);
});

afterEach(async () => {
  await new Promise((resolve) => {
    server.close(resolve);
  });
  await rm(folder, { recursive: true });
  await victim.close();
});

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
const blob = (image: Crafted, digest: string) => image.blobs.find((each) => each.digest === digest)?.bytes;

/** A signed image as kaond sends it, with what an attacker changes. */
function signedImage(image: Crafted, change: object = {}, signer: TestSigner = victim.signers.release): object {
  const { bytes, digest } = image.manifest;
  const payload = simpleSigningPayload(digest);
  return {
    reference: `${victim.host}/os/edge:v1`,
    resolvedDigest: digest,
    manifestDigest: digest,
    manifest: text(bytes),
    config: text(blob(image, image.configDigest) ?? Buffer.alloc(0)),
    signatures: [{ payload: text(payload), signature: signer.sign(payload).toString('base64'), source: 'here' }],
    ...change,
  };
}

const honest =
  (image: Crafted): Answer =>
  ({ digest, ranges }) => [
    ...Array.from(cutRangesSync(blob(image, digest) ?? Buffer.alloc(0), ranges), dataFrame),
    layerEnd,
  ];

function cutRangesSync(bytes: Uint8Array, ranges: Parameters<typeof cutRanges>[1]): readonly Uint8Array[] {
  if (ranges === undefined) return [bytes];
  return ranges.map(({ offset, sizeBytes }) => bytes.subarray(offset, offset + sizeBytes));
}

const write = (image: object, answer?: Answer, slot = 'b') =>
  liar.ask({ method: 'write-slot', slot, image, patches: [] }, answer);

const disk = (slot: 'a' | 'b') => Buffer.from(victim.devices.disk(slot, 'root').visibleBytes());
const isOld = (bytes: Buffer) => bytes.every((byte) => byte === 0xa5);

async function expectUnchanged(): Promise<void> {
  expect(victim.steps).toEqual([]);
  expect(isOld(disk('a')) && isOld(disk('b'))).toBe(true);
  expect(await victim.loader.readStatus()).toMatchObject({ primary: 'a', slots: { a: { state: 'good' } } });
}

/** Slot a runs and is primary; b can't be started, and can't be made startable by asking. */
async function expectFallback(digest: string): Promise<void> {
  const { primary, slots } = await victim.loader.readStatus();
  expect([primary, slots.a.state, slots.b.state, isOld(disk('a'))]).toEqual(['a', 'good', 'bad', true]);
  const first = disk('b').subarray(0, 4096);
  expect(first.every((byte) => byte === first[0])).toBe(true);
  expect(await liar.ask({ method: 'activate', slot: 'b', tries: 3, digest })).toBe('slot-unverified');
}

const image = craft();
const other = craft({ seed: 6, config: { version: '3' } });
const nested = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`;

function rawMessage(payload: Uint8Array, sizeBytes = payload.byteLength): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(sizeBytes, 0);
  head.writeUInt8(1, 4);
  return Buffer.concat([head, payload]);
}

describe('a kaond that lies gets kaon-slotd to change nothing by', () => {
  it.each<[string, string, () => Promise<string>]>([
    [
      'the manifest of another image',
      'digest-mismatch',
      () => write(signedImage(image, { manifest: text(other.manifest.bytes) })),
    ],
    [
      'the config of another image',
      'manifest-invalid',
      () => write(signedImage(image, { config: text(Buffer.concat([other.manifest.bytes, Buffer.alloc(7)])) })),
    ],
    [
      'the signatures of another image',
      'signature-mismatch',
      () => write({ ...signedImage(other), ...imageOnly(signedImage(image)) }),
    ],
    [
      'an image that a stranger signed',
      'signer-untrusted',
      () => write(signedImage(image, {}, victim.signers.stranger)),
    ],
    ['an image without a signature', 'signature-missing', () => write(signedImage(image, { signatures: [] }))],
    [
      'an image of a repository that no rule names',
      'trust-rule-missing',
      () => write(signedImage(image, { reference: 'elsewhere.test/os/edge:v1' })),
    ],
    [
      'an image for another product',
      'image-incompatible',
      () => write(signedImage(craft({ config: { compatible: ['x'] } }))),
    ],
    [
      'an image of partitions that the slot does not have',
      'image-incompatible',
      () => write(signedImage(craft({ config: { partitions: [{ name: 'sda', layer: image.layer.digest }] } }))),
    ],
    ['the booted slot', 'slot-busy', () => write(signedImage(image), honest(image), 'a')],
    ['a slot of its own making', 'slotd-protocol-invalid', () => write(signedImage(image), honest(image), '/dev/sda')],
    [
      'a device in the request',
      'slotd-protocol-invalid',
      () => liar.ask({ method: 'write-slot', slot: 'b', image: signedImage(image), patches: [], device: '/dev/sda' }),
    ],
    [
      'a device in the image',
      'slotd-protocol-invalid',
      () => write(signedImage(image, { partitions: { root: '/dev/sda' } })),
    ],
    ['the key to trust', 'slotd-protocol-invalid', () => write(signedImage(image, { keys: ['my own'] }))],
    [
      `${evidenceLimits.count + 1} signatures`,
      'slotd-protocol-invalid',
      () =>
        write(
          signedImage(image, {
            signatures: Array(evidenceLimits.count + 1).fill({ payload: '', signature: '', source: '' }),
          }),
        ),
    ],
    ['a verb that does not exist', 'slotd-protocol-invalid', () => liar.ask({ method: 'format', slot: 'b' })],
    ['another version of the protocol', 'slotd-protocol-invalid', () => liar.ask({ protocol: 1, method: 'read-node' })],
    [
      'a message that says it has 33 MiB',
      'slotd-protocol-invalid',
      () => liar.send([rawMessage(Buffer.alloc(8), 33 * 2 ** 20)]),
    ],
    ['a million nested arrays', 'slotd-protocol-invalid', () => liar.send([rawMessage(Buffer.from(nested))])],
    [
      'a message with a key __proto__',
      'slotd-protocol-invalid',
      () => liar.send([rawMessage(Buffer.from('{"__proto__":{"slot":"b"},"protocol":2,"method":"mark-bad"}'))]),
    ],
    ['bytes of a layer before the request', 'slotd-protocol-invalid', () => liar.send([dataFrame(Buffer.alloc(4096))])],
    [
      'a frame of a kind that does not exist',
      'slotd-protocol-invalid',
      () => liar.send([Buffer.from([0, 0, 0, 1, 9, 0])]),
    ],
    [
      'a good mark for the slot that does not run',
      'slot-unverified',
      () => liar.ask({ method: 'mark-good', slot: 'b' }),
    ],
    ['a bad mark for the slot that runs', 'boot-fallback-missing', () => liar.ask({ method: 'mark-bad', slot: 'a' })],
    ['the activation of the slot that runs', 'slot-busy', () => liar.ask({ method: 'activate', slot: 'a', tries: 1 })],
    [
      'the activation of a slot that it never wrote',
      'slot-unverified',
      () => liar.ask({ method: 'activate', slot: 'b', tries: 3, digest: image.manifest.digest }),
    ],
  ])('%s: %s', async (_what, code, lie) => {
    expect(await lie()).toBe(code);
    await expectUnchanged();
    expect(await write(signedImage(image), honest(image))).toBe('result');
  });
});

describe('a kaond that lies about the repository of an image', () => {
  const payload = simpleSigningPayload(image.manifest.digest);
  const signedBy = (...signers: readonly TestSigner[]) => ({
    signatures: signers.map((signer) => ({
      payload: text(payload),
      signature: signer.sign(payload).toString('base64'),
      source: 'here',
    })),
  });
  const weak = () => signedImage(image, signedBy(victim.signers.release));
  const strong = (repository: string) =>
    signedImage(image, {
      ...signedBy(victim.signers.release, victim.signers.releaseEc),
      reference: `${victim.host}/${repository}:v1`,
    });

  it('gets nothing by the weaker of two rules, once kaon-slotd wrote by the stronger', async () => {
    expect(await write(strong('strict/edge'), honest(image))).toBe('result');
    const before = victim.steps.length;
    expect(await write(weak(), honest(image))).toBe('repository-refused');
    expect(await liar.ask({ method: 'estimate-write', slot: 'b', image: weak(), patches: [] })).toBe(
      'repository-refused',
    );
    expect(victim.steps.length).toBe(before);
    // An honest kaond says so in its preflight.
    expect(await victim.attempt(offer(victim, image))).toEqual({ code: 'repository-refused', place: 'preflight' });
  });

  it('gets nothing by claiming the weaker one for what fulfils both', async () => {
    expect(await write(strong('strict/edge'), honest(image))).toBe('result');
    expect(await write(strong('os/edge'), honest(image))).toBe('result');
    expect(await write(weak(), honest(image))).toBe('repository-refused');
  });

  it('is believed the first time, when nothing is followed, and never by what was refused', async () => {
    expect(await write({ ...weak(), reference: `${victim.host}/strict/edge:v1` })).toBe('signer-untrusted');
    expect(await write(weak(), honest(image))).toBe('result');
  });
});

/** What of a message is the image itself. */
function imageOnly(message: object): object {
  const { signatures: _signatures, ...rest } = message as { readonly signatures: unknown };
  return rest;
}

const sound = indexed();
const twoFrames = craft({ indexed: sound });

/** The bytes of the partition's layer with two of its frames in each other's place. */
const swapped: Answer = ({ digest, ranges }) => {
  const bytes = Buffer.from(blob(twoFrames, digest) ?? Buffer.alloc(0));
  if (digest !== sound.signed.layerDigest) return [...cutRangesSync(bytes, ranges).map(dataFrame), layerEnd];
  const half = bytes.byteLength >> 1;
  const exchanged = Buffer.concat([bytes.subarray(half), bytes.subarray(0, half)]);
  return [...cutRangesSync(exchanged, ranges).map(dataFrame), layerEnd];
};

describe('a kaond that lies in the stream leaves a slot that is not started, by', () => {
  it.each<[string, string, Crafted, Answer]>([
    ['the layer of another image', 'digest-mismatch', image, () => [dataFrame(other.layer.bytes), layerEnd]],
    ['frames that changed places', 'layer-corrupt', twoFrames, swapped],
    [
      'more bytes than were signed',
      'layer-too-large',
      image,
      () => [dataFrame(image.layer.bytes), dataFrame(Buffer.alloc(slotBytes)), layerEnd],
    ],
    [
      'fewer bytes than were signed',
      'download-truncated',
      image,
      () => [dataFrame(image.layer.bytes.subarray(0, 8192)), layerEnd],
    ],
    ['no bytes at all', 'download-truncated', image, () => [layerEnd]],
    [
      'a frame of 2 MiB',
      'slotd-protocol-invalid',
      image,
      () => [dataFrame(image.layer.bytes.subarray(0, 8192)), dataFrame(Buffer.alloc(2 ** 21))],
    ],
    [
      'a result in the place of bytes',
      'slotd-protocol-invalid',
      image,
      () => [dataFrame(image.layer.bytes.subarray(0, 8192)), encodeMessage({ type: 'result', value: {} })],
    ],
    ['an end of the connection', 'closed', image, () => undefined],
  ])('%s: %s', async (_what, code, sent, answer) => {
    expect(await write(signedImage(sent), answer)).toBe(code);
    // A connection that ended is noticed in its own time: the next change waits for its turn.
    expect(await liar.ask({ method: 'mark-bad', slot: 'b' })).toBe('result');
    await expectFallback(sent.manifest.digest);
    expect(await write(signedImage(image), honest(image))).toBe('result');
  });

  it('the proof of an image that was written before', async () => {
    expect(await write(signedImage(image), honest(image))).toBe('result');
    expect(await write(signedImage(other), () => [layerEnd])).toBe('download-truncated');
    await expectFallback(image.manifest.digest);
  });

  it('the digest of another image than was written', async () => {
    expect(await write(signedImage(image), honest(image))).toBe('result');
    expect(await liar.ask({ method: 'activate', slot: 'b', tries: 3, digest: other.manifest.digest })).toBe(
      'slot-unverified',
    );
    expect(await liar.ask({ method: 'activate', slot: 'b', tries: 3, digest: sha256(Buffer.from('none')) })).toBe(
      'slot-unverified',
    );
    expect((await victim.loader.readStatus()).primary).toBe('a');
  });

  it('nothing when two writes are asked for at once: one is whole before the other begins', async () => {
    const both = [write(signedImage(image), honest(image)), write(signedImage(other), honest(other))];
    expect(await Promise.all(both)).toEqual(['result', 'result']);
    const found = disk('b').subarray(0, image.content.byteLength);
    expect(found.equals(image.content) || found.equals(other.content)).toBe(true);
  });
});
