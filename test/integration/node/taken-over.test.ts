import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import fetch from 'node-fetch';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { Connection } from '../../../agent/slotd/connection.ts';
import { encodeDataHeader } from '../../../agent/slotd/wire-frames.ts';
import { simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import { NodeBench, type PushedImage } from './node-bench.ts';

/** Somebody has kaond, and with it the way to kaon-slotd; kaon-slotd runs for real, as a process of its own. */
let bench: NodeBench;
let before: Readonly<Record<string, string>>;

beforeAll(async () => {
  bench = await NodeBench.open();
  await bench.powerOn();
});
afterAll(async () => {
  await bench.close();
});
beforeEach(async () => {
  before = await bench.untouched();
});

async function open(): Promise<Connection> {
  // kaond starts it where it was idle.
  await bench.kaonctl('status');
  const socket = connect(join(bench.folder, 'run/slotd.sock'));
  await once(socket, 'connect');
  return new Connection(socket);
}

interface Answer {
  readonly type: string;
  readonly code?: string;
  readonly digest?: string;
  readonly value?: unknown;
}

/** The end of the connection: its result or its error; layers that are asked for get `layer`. */
async function endOf(connection: Connection, layer: Buffer): Promise<Answer | undefined> {
  for (;;) {
    const frame = await connection.next();
    if (frame === undefined) return undefined;
    if (frame.kind === 'data') throw new Error('kaon-slotd sends no layers');
    const answer = frame.value as Answer;
    if (answer.type === 'result' || answer.type === 'error') return answer;
    if (answer.type !== 'want-layer') continue;
    await connection.sendData(layer);
    await connection.send({ type: 'layer-end' });
  }
}

async function ask(message: object, layer: Buffer = Buffer.alloc(0)): Promise<Answer | undefined> {
  const connection = await open();
  await connection.send({ protocol: 2, ...message });
  const answer = await endOf(connection, layer);
  connection.destroy();
  return answer;
}

/** What kaon-slotd answers to bytes that are no message. */
async function answerToBytes(...pieces: readonly Uint8Array[]): Promise<Answer | undefined> {
  await bench.kaonctl('status');
  const socket = connect(join(bench.folder, 'run/slotd.sock'));
  await once(socket, 'connect');
  socket.end(Buffer.concat(pieces));
  return endOf(new Connection(socket), Buffer.alloc(0));
}

/** The parts of an image as a message carries them, with a signature of `signer` over `signedDigest`. */
async function messageOf({ reference, digest }: PushedImage, signer: TestSigner, signedDigest = digest) {
  const get = async (path: string) => {
    const headers = { accept: mediaTypes.ociManifest };
    const answer = await fetch(`http://${bench.registry.host}/v2/os/edge/${path}`, { headers });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return Buffer.from(await answer.arrayBuffer());
  };
  const manifest = await get(`manifests/${digest}`);
  const { config } = JSON.parse(manifest.toString()) as { readonly config: { readonly digest: string } };
  const payload = simpleSigningPayload(signedDigest);
  return {
    reference,
    resolvedDigest: digest,
    manifestDigest: digest,
    manifest: manifest.toString('base64'),
    config: (await get(`blobs/${config.digest}`)).toString('base64'),
    signatures: [
      { payload: payload.toString('base64'), signature: signer.sign(payload).toString('base64'), source: 'made up' },
    ],
  };
}

const write = (image: object, slot = 'b') => ({ method: 'write-slot', slot, image, patches: [] });

describe('who took kaond over', { timeout: 180_000 }, () => {
  it('can not write an image that nobody trusted signed, whatever signature it brings', async () => {
    const [image, other] = [bench.push(), bench.push()];
    const good = await messageOf(image, bench.release);
    const changed = Buffer.from(good.config, 'base64').toString().replace('"edge"', '"evil"');
    for (const forged of [
      await messageOf(image, bench.stranger),
      await messageOf(image, bench.release, other.digest),
      { ...good, signatures: [] },
      { ...good, config: Buffer.from(changed).toString('base64') },
      { ...good, manifestDigest: other.digest },
      { ...good, reference: 'registry.example/of-nobody:v1' },
    ]) {
      const answer = await ask(write(forged), image.content);
      expect(answer).toMatchObject({ type: 'error' });
      expect(answer?.code).not.toBe('internal');
    }
    expect(await bench.untouched()).toEqual(before);
  });

  it('can not write the slot that runs, though the image is signed', async () => {
    const image = bench.push();
    const signed = await messageOf(image, bench.release);
    expect(await ask(write(signed, 'a'), image.content)).toMatchObject({ code: 'slot-busy' });
    expect(await bench.untouched()).toEqual(before);
  });

  it('can not have booted what it did not write, nor prove a slot that does not run', async () => {
    const digest = `sha256:${'1'.repeat(64)}`;
    expect(await ask({ method: 'activate', slot: 'b', tries: 4, digest })).toMatchObject({ code: 'slot-unverified' });
    expect(await ask({ method: 'activate', slot: 'b', tries: 4 })).toMatchObject({ code: 'slot-unverified' });
    expect(await ask({ method: 'activate', slot: 'a', tries: 4 })).toMatchObject({ code: 'slot-busy' });
    expect(await ask({ method: 'mark-good', slot: 'b' })).toMatchObject({ code: 'slot-unverified' });
    expect(await bench.untouched()).toEqual(before);
  });

  it('can not take the last slot that boots', async () => {
    expect(await ask({ method: 'mark-bad', slot: 'a' })).toMatchObject({
      type: 'error',
      code: 'boot-fallback-missing',
    });
    expect(await bench.untouched()).toEqual(before);
  });

  it.each([
    ['a device', { method: 'mark-bad', slot: 'b', device: '/dev/sda' }],
    ['a path for a slot', { method: 'mark-bad', slot: '../../dev/sda' }],
    ['a command for the reboot', { method: 'reboot', purpose: 'a; rm -rf /' }],
    ['a verb that there is not', { method: 'run', command: ['/bin/sh'] }],
    ['an inherited verb', { method: 'constructor' }],
    ['more tries than any loader has', { method: 'activate', slot: 'b', tries: 1e9 }],
    ['words without an end', { method: 'keep-evidence', text: 'x'.repeat(5000) }],
    ['another protocol', { protocol: 1, method: 'read-node' }],
  ])('has no field for %s', async (_name, message) => {
    expect(await ask(message)).toMatchObject({ code: 'slotd-protocol-invalid' });
    expect(await bench.untouched()).toEqual(before);
  });

  it.each<[string, readonly Uint8Array[]]>([
    ['a frame of 4 GiB', [Buffer.from('ffffffff01', 'hex')]],
    ['a frame of an unknown kind', [Buffer.from('0000000109', 'hex'), Buffer.from('x')]],
    ['layer bytes before a request', [encodeDataHeader(4), Buffer.from('abcd')]],
    ['a request that is no JSON', [Buffer.from('0000000301', 'hex'), Buffer.from('nay')]],
  ])('does not harm it by %s', async (_name, pieces) => {
    expect(await answerToBytes(...pieces)).toMatchObject({ code: 'slotd-protocol-invalid' });
    expect(await ask({ method: 'read-node' })).toMatchObject({ type: 'result' });
    expect(await bench.untouched()).toEqual(before);
  });

  it('does not harm it by a request that is cut off', async () => {
    // Who ended the connection may get no answer any more.
    await answerToBytes(Buffer.from('0000010001', 'hex'), Buffer.from('{"protocol":2'));
    expect(await ask({ method: 'read-node' })).toMatchObject({ type: 'result' });
    expect(await bench.untouched()).toEqual(before);
  });

  it('leaves a slot that never boots where its bytes are not the signed ones', async () => {
    const image = bench.push();
    const signed = await messageOf(image, bench.release);
    const lie = Buffer.alloc(image.content.byteLength, 0x66);
    expect(await ask(write(signed), lie)).toMatchObject({ type: 'error', code: 'digest-mismatch' });
    expect((await bench.slot('b')).subarray(0, 4096).every((byte) => byte === 0)).toBe(true);
    expect(await bench.loader()).toMatchObject({ B_OK: '0', B_LEFT: '0' });
    expect(await ask({ method: 'activate', slot: 'b', tries: 4, digest: image.digest })).toMatchObject({
      code: 'slot-unverified',
    });
    expect((await bench.untouched())['slot-a.img']).toBe(before['slot-a.img']);
  });
});
