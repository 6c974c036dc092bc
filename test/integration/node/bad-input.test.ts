import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../../agent/core/image-format/digest.ts';
import { simpleSigningPayload } from '../../fakes/signer.ts';
import { NodeBench, slotBytes } from './node-bench.ts';

let bench: NodeBench;

beforeAll(async () => {
  bench = await NodeBench.open();
  await bench.powerOn();
}, 60_000);

afterAll(async () => {
  await bench.close();
}, 60_000);

afterEach(() => {
  bench.registry.faults.clear();
});

/** Puts something wrong before the node and returns the reference to ask for. */
type Arrange = () => string | Promise<string>;

const refusedBefore: readonly (readonly [what: string, code: string, exitCode: number, arrange: Arrange])[] = [
  ['a reference that does not parse', 'reference-invalid', 65, () => 'Registry.Acme.IO//edge::v2'],
  [
    'a repository that no rule names',
    'trust-rule-missing',
    65,
    () => bench.push({ repository: 'other/edge' }).reference,
  ],
  ['a tag that was never pushed', 'image-not-found', 66, () => `${bench.registry.host}/os/edge:never`],
  [
    'a registry that wants a login',
    'registry-unauthorized',
    77,
    () => {
      const headers = { 'www-authenticate': 'Basic realm="r"' };
      bench.registry.faults.add({ request: /manifests/, fault: { kind: 'answer', status: 401, headers } });
      return bench.push().reference;
    },
  ],
  [
    'a manifest with other bytes than its digest says',
    'digest-mismatch',
    65,
    () => {
      const { digest, reference } = bench.push();
      bench.registry.faults.add({ request: /manifests/, fault: { kind: 'corrupt' } });
      return `${reference.replace(/:v\d+$/, '')}@${digest}`;
    },
  ],
  [
    'an image for another kind of node',
    'image-incompatible',
    65,
    () => bench.push({ compatible: 'board-9' }).reference,
  ],
  [
    'an image that states more than fits',
    'slot-too-small',
    65,
    () => bench.push({ contentBytes: slotBytes + 4096 }).reference,
  ],
  ['an image that nobody signed', 'signature-missing', 65, () => bench.push({ signer: 'nobody' }).reference],
  ['an image that a stranger signed', 'signer-untrusted', 65, () => bench.push({ signer: bench.stranger }).reference],
  [
    'the signature of another image',
    'signature-mismatch',
    65,
    () => bench.push({ signedDigest: digestOf(Buffer.from('another image')) }).reference,
  ],
  [
    'a signature that is none',
    'signature-invalid',
    65,
    () => {
      const image = bench.push({ signer: 'nobody' });
      bench.putSignature(image.digest, simpleSigningPayload(image.digest), 'no base64 at all');
      return image.reference;
    },
  ],
];

describe('refused before the first write: nothing changed, and the next good update works', () => {
  it.each(refusedBefore)('%s: %s', { timeout: 180_000 }, async (_what, code, exitCode, arrange) => {
    const reference = await arrange();
    const before = await bench.untouched();
    const refused = await bench.kaonctl('update', reference);
    expect(refused.stderr).toContain(`code: ${code} (exit ${exitCode})`);
    expect(refused.stderr).toMatch(/cannot [a-z]+ .+: .+/);
    expect(refused.stderr).toContain('fix: ');
    expect(refused.exitCode).toBe(exitCode);
    expect(await bench.untouched()).toEqual(before);
    bench.registry.faults.clear();
    expect(await bench.goodUpdateWorks()).toBe(true);
  });

  it('a registry that is down: registry-unreachable', { timeout: 180_000 }, async () => {
    const before = await bench.untouched();
    // Nothing listens at port 1, and the rule has to name it, or the trust policy would speak first.
    await bench.node.configure(
      bench.config([
        [`${bench.registry.host}": {`, `127.0.0.1:1": { insecureHttp: true }, "${bench.registry.host}": {`],
      ]),
    );
    await bench.node.restartAgent();
    await bench.agentUp();
    const refused = await bench.kaonctl('update', '127.0.0.1:1/os/edge:v1');
    expect(refused.stderr).toContain('code: registry-unreachable (exit 69)');
    expect(refused.exitCode).toBe(69);
    expect(await bench.untouched()).toEqual(before);
    expect(await bench.goodUpdateWorks()).toBe(true);
  });
});

const refusedInStream: readonly (readonly [what: string, code: string, exitCode: number, arrange: Arrange])[] = [
  [
    'a layer with other bytes than its digest says',
    'digest-mismatch',
    65,
    () => {
      const image = bench.push();
      const wrong = Buffer.from(image.layer.bytes);
      wrong.writeUInt8((wrong[100_000] ?? 0) ^ 1, 100_000);
      bench.registry.content.putBlob('os/edge', wrong, image.layer.digest);
      return image.reference;
    },
  ],
  [
    'a layer that is shorter than its descriptor says',
    'download-truncated',
    75,
    () => {
      const image = bench.push();
      bench.registry.content.putBlob('os/edge', image.layer.bytes.subarray(0, 60_000), image.layer.digest);
      return image.reference;
    },
  ],
  [
    'a layer that is longer than its descriptor says',
    'response-too-large',
    65,
    () => {
      const image = bench.push();
      const longer = Buffer.concat([image.layer.bytes, Buffer.alloc(4096, 1)]);
      bench.registry.content.putBlob('os/edge', longer, image.layer.digest);
      return image.reference;
    },
  ],
  [
    'content that is larger than was signed',
    'layer-too-large',
    65,
    () => bench.push({ statedBytes: slotBytes / 4 }).reference,
  ],
  [
    'content of a size that nobody stated, at the first byte that does not fit',
    'slot-too-small',
    65,
    () => bench.push({ contentBytes: slotBytes + 4096, statedBytes: 'none' }).reference,
  ],
];

describe('refused in the stream: the booted slot is untouched and primary, the other does not boot, the next works', () => {
  it.each(refusedInStream)('%s: %s', { timeout: 120_000 }, async (_what, code, exitCode, arrange) => {
    const reference = await arrange();
    const booted = await bench.slot('a');
    const refused = await bench.kaonctl('update', reference);
    expect(refused.stderr).toContain(`code: ${code} (exit ${exitCode})`);
    expect(refused.exitCode).toBe(exitCode);
    expect((await bench.slot('a')).equals(booted)).toBe(true);
    expect(await bench.loader()).toMatchObject({ ORDER: 'A B', A_OK: '1', B_OK: '0', B_LEFT: '0', kaon_trial: '-' });
    expect((await bench.slot('b')).subarray(0, 4096).every((byte) => byte === 0)).toBe(true);
    expect(await bench.goodUpdateWorks()).toBe(true);
  });
});
