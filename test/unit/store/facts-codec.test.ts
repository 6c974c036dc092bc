import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { emptyFacts, type FactsData } from '../../../agent/core/facts.ts';
import { decodeFacts, encodeFacts } from '../../../agent/store/facts-codec.ts';

const facts: FactsData = {
  ...emptyFacts,
  rollbackFloor: 3,
  triggerSequences: { 'fleet-1': 4 },
  hold: { reason: 'maintenance', untilMs: 99 },
  extra: { waves: ['one'] },
};

/** `copy` with a byte range replaced and its digest made to hold again, as a newer agent would write it. */
function resealed(copy: Uint8Array, change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(copy);
  change(bytes);
  const end = 64 + bytes.readUInt32LE(56);
  createHash('sha256').update(bytes.subarray(40, end)).digest().copy(bytes, 8);
  return bytes;
}

describe('a copy of the facts', () => {
  it('reads back what was written, with its sequence', () => {
    expect(decodeFacts(encodeFacts(facts, 7n))).toEqual({ kind: 'sound', sequence: 7n, data: facts });
  });

  it('keeps what is known of the loader, and is sound without what another version wrote of it', () => {
    const proof = { loader: 'gpt', isProven: true, by: 'self-test', atMs: 5 } as const;
    const test = { bootId: 'boot-1', atMs: 4, isSettled: false };
    const known = { ...facts, loaderProof: proof, loaderTest: test };
    expect(decodeFacts(encodeFacts(known, 7n))).toMatchObject({ kind: 'sound', data: known });
    const odd = { ...facts, loaderProof: { isProven: 'perhaps' }, loaderTest: 7 } as unknown as FactsData;
    expect(decodeFacts(encodeFacts(odd, 7n))).toEqual({ kind: 'sound', sequence: 7n, data: facts });
  });

  it('keeps the latest attested time, and is sound without one that is no time', () => {
    const known = { ...facts, signedTimeMs: 1_780_000_000_000 };
    expect(decodeFacts(encodeFacts(known, 7n))).toEqual({ kind: 'sound', sequence: 7n, data: known });
    const odd = { ...facts, signedTimeMs: 'soon' } as unknown as FactsData;
    expect(decodeFacts(encodeFacts(odd, 7n))).toEqual({ kind: 'sound', sequence: 7n, data: facts });
  });

  it('has the layout that its head states', () => {
    const copy = Buffer.from(encodeFacts(facts, 0x0102030405060708n));
    expect(copy.byteLength).toBe(4096);
    expect(copy.toString('latin1', 0, 8)).toBe('KAONFACT');
    expect(copy.readUInt32LE(40)).toBe(1);
    expect(copy.subarray(48, 56).toString('hex')).toBe('0807060504030201');
    expect(JSON.parse(copy.toString('utf8', 64, 64 + copy.readUInt32LE(56)))).toMatchObject({ rollbackFloor: 3 });
  });

  it('is damaged after every truncation that cuts into it', () => {
    const copy = encodeFacts(facts, 1n);
    const end = 64 + Buffer.from(copy).readUInt32LE(56);
    for (let size = 0; size < end; size++) expect(decodeFacts(copy.subarray(0, size)).kind).toBe('damaged');
    expect(decodeFacts(copy.subarray(0, end)).kind).toBe('sound');
  });

  it('is damaged after every single flipped bit', () => {
    const copy = Buffer.from(encodeFacts(facts, 1n));
    const end = 64 + copy.readUInt32LE(56);
    for (let bit = 0; bit < end * 8; bit++) {
      const flipped = Buffer.from(copy);
      flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7));
      expect(decodeFacts(flipped).kind).toBe('damaged');
    }
  });

  it('is damaged when its digest holds and its payload is no facts', () => {
    expect(decodeFacts(resealed(encodeFacts(facts, 1n), (bytes) => bytes.write('nonsense', 64))).kind).toBe('damaged');
    expect(decodeFacts(resealed(encodeFacts(facts, 1n), (bytes) => bytes.writeUInt32LE(0, 56))).kind).toBe('damaged');
  });

  it('of a newer version is read when its writer says that older agents may', () => {
    const copy = resealed(encodeFacts(facts, 1n), (bytes) => bytes.writeUInt32LE(2, 40));
    expect(decodeFacts(copy)).toMatchObject({ kind: 'sound', data: facts });
  });

  it('of a newer version is refused as newer when only newer agents read it', () => {
    const copy = resealed(encodeFacts(facts, 1n), (bytes) => {
      bytes.writeUInt32LE(3, 40);
      bytes.writeUInt32LE(2, 44);
    });
    expect(decodeFacts(copy)).toEqual({ kind: 'newer', version: 3 });
  });

  it('keeps the fields of a known-bad entry that it does not know', () => {
    const entry = { digest: 'sha256:1', reason: 'r', updateId: 'u', atMs: 1, ring: 'canary' };
    const decoded = decodeFacts(encodeFacts({ ...facts, knownBad: [entry] }, 1n));
    expect(decoded).toMatchObject({ kind: 'sound', data: { knownBad: [entry] } });
  });

  it('keeps what was offered, with fields of newer agents, and is sound without what another version wrote of it', () => {
    const newest = { digest: 'sha256:1', atMs: 5, ring: 'canary' };
    const offers = { watchedAtMs: 1, newest, verified: newest, contactAtMs: 6, reportedAtMs: 7 };
    const read = (written: unknown) => decodeFacts(encodeFacts({ ...facts, offers: written as never }, 1n));
    expect(read(offers)).toMatchObject({ kind: 'sound', data: { offers } });
    expect(read({ watchedAtMs: 1, contactAtMs: 'soon' })).toMatchObject({
      kind: 'sound',
      data: { rollbackFloor: 3, offers: { watchedAtMs: 1, contactAtMs: undefined } },
    });
    expect(read({ since: 'May' })).toEqual({ kind: 'sound', sequence: 1n, data: facts });
  });

  it('can not be larger than its limit', () => {
    expect(() => encodeFacts({ ...facts, extra: { text: 'x'.repeat(300_000) } }, 1n)).toThrow(RangeError);
  });
});
