import { SeededRandom } from '../fakes/seeded-random.ts';
import { mutateJson } from './mutate-json.ts';
import type { FuzzTarget } from './target.ts';

/** Most bytes of an input. */
const limitBytes = 16 * 1024;

const numbers = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];
const words = [
  '{', '}', '[', ']', '"', ':', ',', '\\', '\\u0000', '__proto__', 'constructor', 'null', 'true', '-1', '1e999',
  '9007199254740993', '\0', '\n', '\r\n', ' ', '=', '#', '/', '..', '../', '@', '%', '&a', '*a', '<<: *a', '!!js/function',
  '\u00e9', '\ud83d\ude00', '\ufeff', 'sha256:', 'sha512:', 'Bearer ', 'realm=', 'MZ', 'PE\0\0', 'EFI PART',
].map((word) => Buffer.from(word)); // prettier-ignore

type Mutation = (bytes: Buffer, random: SeededRandom, others: readonly Uint8Array[]) => Buffer;

function splice(bytes: Buffer, at: number, removedBytes: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removedBytes)]);
}

const pick = <T>(random: SeededRandom, list: readonly T[]): T | undefined => list[random.below(list.length)];

const mutations: readonly Mutation[] = [
  (bytes, random) => {
    const at = random.below(bytes.byteLength);
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
    return changed;
  },
  (bytes, random) => {
    const changed = Buffer.from(bytes);
    changed[random.below(bytes.byteLength)] = random.below(256);
    return changed;
  },
  (bytes, random) => {
    const sizeBytes = pick(random, [1, 2, 4] as const) ?? 1;
    const changed = Buffer.from(bytes);
    if (changed.byteLength < sizeBytes) return changed;
    const at = random.below(changed.byteLength - sizeBytes + 1);
    const value = (pick(random, numbers) ?? 0) % 2 ** (8 * sizeBytes);
    if (random.below(2) === 0) changed.writeUIntLE(value, at, sizeBytes);
    else changed.writeUIntBE(value, at, sizeBytes);
    return changed;
  },
  (bytes, random) => {
    const at = random.below(bytes.byteLength + 1);
    return splice(bytes, at, 0, pick(random, words) ?? Buffer.alloc(0));
  },
  (bytes, random) => splice(bytes, random.below(bytes.byteLength + 1), 1 + random.below(16), Buffer.alloc(0)),
  (bytes, random) => bytes.subarray(0, random.below(bytes.byteLength + 1)),
  (bytes, random) => {
    const from = random.below(bytes.byteLength);
    const piece = bytes.subarray(from, from + 1 + random.below(64));
    return splice(bytes, random.below(bytes.byteLength + 1), 0, piece);
  },
  (bytes, random) => {
    const from = random.below(bytes.byteLength);
    const piece = bytes.subarray(from, from + 1 + random.below(64));
    return splice(bytes, random.below(bytes.byteLength + 1), piece.byteLength, piece);
  },
  (bytes, random, others) => {
    const other = Buffer.from(pick(random, others) ?? bytes);
    const at = random.below(Math.min(bytes.byteLength, other.byteLength) + 1);
    return Buffer.concat([bytes.subarray(0, at), other.subarray(at)]);
  },
  (bytes, random) => {
    const noise = Buffer.from(Array.from({ length: 1 + random.below(8) }, () => random.below(256)));
    return splice(bytes, random.below(bytes.byteLength + 1), 0, noise);
  },
];

/** The input of `target` that `seed` stands for: one of its seeds, changed a few times. */
export function inputOf(target: FuzzTarget, seed: number): Uint8Array {
  const random = new SeededRandom(Math.imul(seed, 0x9e3779b1));
  let bytes: Buffer = Buffer.from(pick(random, target.seeds) ?? new Uint8Array());
  const rounds = 1 + random.below(4);
  for (let round = 0; round < rounds; round += 1) {
    if (bytes.byteLength === 0) bytes = Buffer.from(' ');
    // What is JSON is changed as JSON half of the time: most changes of its letters are seen by the JSON parser alone.
    const document = /^\s*[{[]/.test(bytes.toString('latin1', 0, 64)) && random.below(2) === 0;
    bytes = (document ? mutateJson(bytes, random) : undefined) ?? bytes;
    if (document && random.below(4) > 0) continue;
    bytes = Buffer.from(pick(random, mutations)?.(bytes, random, target.seeds) ?? bytes).subarray(0, limitBytes);
  }
  return target.mend !== undefined && random.below(4) > 0
    ? target.mend(Uint8Array.from(bytes))
    : Uint8Array.from(bytes);
}
