import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatReference, parseReference } from '../../../agent/core/image-format/reference.ts';
import { ambiguityOf } from '../../../agent/core/image-format/strict-json.ts';
import { parseChallenges } from '../../../agent/oci/challenge.ts';
import { closedRanges, rangesAfter } from '../../../agent/oci/range.ts';
import { localityOf, redirectTarget } from '../../../agent/oci/redirect.ts';
import { retryDelayMs } from '../../../agent/oci/retry.ts';
import { encodeDataHeader, encodeMessage, FrameReader } from '../../../agent/slotd/wire-frames.ts';
import { decodeEnvironment, encodeEnvironment } from '../../../bootloader/grubenv.ts';
import { decodeCopy, encodeCopy } from '../../../bootloader/ubootenv.ts';
import { compareVersions } from '../../../bootloader/version-order.ts';
import { decodeSeekTable, encodeSeekTable } from '../../../partitions/frames/seek-table.ts';
import { ZstdBoundaries, type ZstdPiece } from '../../../partitions/frames/zstd-boundaries.ts';
import { zstdCompressSync } from 'node:zlib';

/** The same inputs in every run: what fails here fails everywhere. */
const settings = { seed: 20_261_125, numRuns: 200 } as const;

const holds = <T extends readonly unknown[]>(property: fc.IProperty<T> | fc.IAsyncProperty<T>) =>
  fc.assert(property as fc.IAsyncProperty<T>, settings);

const letters = Array.from('abcdefghijklmnopqrstuvwxyz0123456789');
const word = fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 12 });
const hex = (digits: number) =>
  fc.string({ unit: fc.constantFrom(...Array.from('0123456789abcdef')), minLength: digits, maxLength: digits });
const component = fc.tuple(word, fc.constantFrom('.', '_', '__', '-', '--'), word).map((parts) => parts.join(''));
const host = fc.oneof(
  fc.tuple(word, word).map(([name, domain]) => `${name}.${domain}`),
  fc.constant('localhost'),
  fc.ipV6().map((address) => `[${address}]`),
);

it('a reference is what it was put together of, and is written as it was read', () =>
  holds(
    fc.property(
      host,
      fc.option(fc.nat(65_535), { nil: undefined }),
      fc.array(component, { minLength: 1, maxLength: 4 }),
      fc.option(
        fc.string({ unit: fc.constantFrom(...letters, '.', '_', '-'), maxLength: 20 }).map((end) => `v${end}`),
        { nil: undefined },
      ),
      fc.option(
        fc.oneof(
          hex(64).map((text) => `sha256:${text}`),
          hex(128).map((text) => `sha512:${text}`),
        ),
        { nil: undefined },
      ),
      (name, port, parts, tag, digest) => {
        const registry = `${name}${port === undefined ? '' : `:${port}`}`;
        const text = `${registry}/${parts.join('/')}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
        const reference = parseReference(text);
        expect(reference).toEqual({
          registry: registry.toLowerCase(),
          name: parts.join('/'),
          repository: `${registry.toLowerCase()}/${parts.join('/')}`,
          tag,
          digest,
        });
        expect(parseReference(formatReference(reference))).toEqual({
          ...reference,
          tag: tag ?? (digest === undefined ? 'latest' : undefined),
        });
      },
    ),
  ));

const isClear = (text: string) => !text.includes('__proto__');

it('JSON is ambiguous when one of its keys is said once more, and not before', () =>
  holds(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 6 }), { minKeys: 1, maxKeys: 6 }),
      fc.nat(),
      (value, which) => {
        const text = JSON.stringify(value);
        fc.pre(isClear(text));
        expect(ambiguityOf(text)).toBeUndefined();
        const keys = Object.keys(value);
        const again = `{${JSON.stringify(keys[which % keys.length])}:0,${text.slice(1)}`;
        expect(JSON.parse(again)).toEqual(JSON.parse(text));
        expect(ambiguityOf(again)).toContain('comes twice');
      },
    ),
  ));

/** `bytes` cut at the places that `cuts` say. */
function cutAt(bytes: Uint8Array, cuts: readonly number[]): readonly Uint8Array[] {
  const places = [
    0,
    ...cuts.map((cut) => cut % (bytes.byteLength + 1)).sort((one, other) => one - other),
    bytes.byteLength,
  ];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

const cuts = fc.array(fc.nat(), { maxLength: 8 });

it('frames between kaond and kaon-slotd are the same however the socket cuts them', () =>
  holds(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.jsonValue(), fc.uint8Array({ minLength: 1, maxLength: 300 })), { maxLength: 5 }),
      cuts,
      async (sent, places) => {
        const frames = sent.map((each) =>
          each instanceof Uint8Array ? Buffer.concat([encodeDataHeader(each.byteLength), each]) : encodeMessage(each),
        );
        const reader = new FrameReader(
          (async function* () {
            yield* cutAt(Buffer.concat(frames), places).filter(({ byteLength }) => byteLength > 0);
          })(),
        );
        const messages: unknown[] = [];
        const data: Uint8Array[] = [];
        for (let frame = await reader.next(); frame !== undefined; frame = await reader.next()) {
          if (frame.kind === 'message') messages.push(frame.value);
          else data.push(Uint8Array.from(frame.bytes));
        }
        expect(messages).toEqual(
          sent.flatMap((each) => (each instanceof Uint8Array ? [] : [JSON.parse(JSON.stringify(each)) as unknown])),
        );
        expect(Buffer.concat(data).equals(Buffer.concat(sent.filter((each) => each instanceof Uint8Array)))).toBe(true);
      },
    ),
  ));

it('zstd frames are the same however the layer comes', () => {
  const parts = [Buffer.alloc(70_000, 'kaon'), Buffer.from('x'), Buffer.alloc(0)];
  const layer = Buffer.concat(parts.map((part) => zstdCompressSync(part)));
  const read = (pieces: readonly Uint8Array[]): readonly string[] => {
    const boundaries = new ZstdBoundaries();
    const found = pieces.flatMap((piece) => Array.from(boundaries.push(piece), (one: ZstdPiece) => describePiece(one)));
    boundaries.end();
    return joined(found);
  };
  const whole = read([layer]);
  expect(whole.filter((one) => one.startsWith('end'))).toHaveLength(parts.length);
  return holds(
    fc.property(cuts, (places) => {
      expect(read(cutAt(layer, places))).toEqual(whole);
    }),
  );
});

function describePiece(piece: ZstdPiece): string {
  if (piece.kind === 'start') return `start ${JSON.stringify(piece.header)}`;
  return piece.kind === 'end' ? `end ${piece.frameSizeBytes}` : `bytes ${Buffer.from(piece.bytes).toString('hex')}`;
}

/** Runs of bytes as one: where they are cut says nothing. */
function joined(pieces: readonly string[]): readonly string[] {
  return pieces.reduce<string[]>((all, piece) => {
    const last = all.at(-1);
    if (!piece.startsWith('bytes') || last?.startsWith('bytes') !== true) return [...all, piece];
    return [...all.slice(0, -1), `${last}${piece.slice('bytes '.length)}`];
  }, []);
}

const rangeList = fc
  .array(fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 50 })), { minLength: 1, maxLength: 10 })
  .map((list) => {
    let at = 0;
    return list.map(([gap, sizeBytes]) => {
      const offset = at + gap;
      at = offset + sizeBytes;
      return { offset, sizeBytes };
    });
  });
const bytesIn = (ranges: readonly { readonly start: number; readonly end: number }[]) =>
  ranges.flatMap(({ start, end }) => Array.from({ length: end - start + 1 }, (_, index) => start + index));

it('what is left of ranges is what was not taken from their head', () =>
  holds(
    fc.property(rangeList, fc.nat(), (ranges, taken) => {
      const closed = closedRanges(ranges, 10_000);
      const all = bytesIn(closed);
      expect(all).toEqual(
        ranges.flatMap(({ offset, sizeBytes }) => bytesIn([{ start: offset, end: offset + sizeBytes - 1 }])),
      );
      const done = taken % (all.length + 1);
      expect(bytesIn(rangesAfter(closed, done))).toEqual(all.slice(done));
    }),
  ));

it('a wait lies between what the registry asked for and the longest wait', () =>
  holds(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.nat(100_000),
      (failures, fraction, askedMs) => {
        const policy = { attempts: 99, baseDelayMs: 500, maxDelayMs: 20_000, totalTimeMs: 1 };
        const delayMs = retryDelayMs(policy, failures, fraction, askedMs);
        expect(delayMs).toBeGreaterThanOrEqual(askedMs);
        expect(delayMs).toBeLessThanOrEqual(Math.max(askedMs, 20_000));
      },
    ),
  ));

it('no redirect of a registry elsewhere leads to this node', () =>
  holds(
    fc.property(
      fc.oneof(
        fc.webUrl(),
        fc.webPath(),
        fc.ipV4Extended().map((ip) => `https://${ip}/`),
        fc.ipV6().map((ip) => `https://[${ip}]/`),
      ),
      (location) => {
        let target: URL;
        try {
          target = redirectTarget(new URL('https://registry.test/v2/'), location);
        } catch (error) {
          expect(error).toMatchObject({ code: 'registry-protocol-invalid' });
          return;
        }
        expect([target.protocol, localityOf(target.hostname)]).toEqual(['https:', undefined]);
      },
    ),
  ));

it('a challenge is read with its quotes and commas', () =>
  holds(
    fc.property(
      fc.array(fc.tuple(word, fc.string({ unit: 'grapheme-ascii' })), { minLength: 1, maxLength: 5 }),
      (params) => {
        const named = new Map(params.map(([name, value]) => [`p${name}`, value]));
        const quoted = Array.from(named, ([name, value]) => `${name}="${value.replace(/["\\]/g, '\\$&')}"`);
        expect(parseChallenges(`Bearer ${quoted.join(', ')}`)).toEqual([{ scheme: 'bearer', params: named }]);
      },
    ),
  ));

const variables = fc
  .array(fc.tuple(word, fc.string({ unit: 'grapheme-ascii', maxLength: 20 })), { maxLength: 6 })
  .map((list) => [...new Map(list.map(([name, value]) => [`v${name}`, value] as const))]);

it('an environment of GRUB gives back what was put into it', () =>
  holds(
    fc.property(variables, (foreign) => {
      const ours = [['ORDER', 'A B']] as const;
      expect(decodeEnvironment(encodeEnvironment(ours, foreign, 2048))).toEqual([...ours, ...foreign]);
    }),
  ));

it('an environment of U-Boot gives back what was put into it, and nothing once a bit is turned', () =>
  holds(
    fc.property(variables, fc.option(fc.nat(255), { nil: undefined }), fc.nat(), (list, flags, bit) => {
      const copy = encodeCopy(list, 512, flags);
      expect(decodeCopy(copy, flags !== undefined)).toEqual({ flags, variables: list });
      const turned = Buffer.from(copy);
      // The flags are not under the checksum.
      const at = flags === undefined ? bit % 4096 : bit % 32;
      turned[at >> 3] = (turned[at >> 3] ?? 0) ^ (1 << (at & 7));
      expect(() => decodeCopy(turned, flags !== undefined)).toThrow(
        expect.objectContaining({ code: 'boot-env-corrupt' }),
      );
    }),
  ));

it('versions have one order', () => {
  const version = fc.string({ unit: fc.constantFrom(...Array.from('0129ab.-~^+_')), maxLength: 8 });
  return holds(
    fc.property(version, version, version, (one, two, three) => {
      const [first, second, third] = [one, two, three].sort(compareVersions);
      expect(compareVersions(first ?? '', third ?? '')).toBeLessThanOrEqual(0);
      expect(compareVersions(first ?? '', second ?? '')).toBeLessThanOrEqual(0);
      expect(Math.sign(compareVersions(one, two)) + Math.sign(compareVersions(two, one))).toBe(0);
    }),
  );
});

it('a seek table gives back its frames', () => {
  const size = fc.nat(0xffffffff);
  const entry = fc.record({ compressedSizeBytes: size, contentSizeBytes: size });
  return holds(
    fc.property(fc.array(entry), (entries) => {
      expect(decodeSeekTable(encodeSeekTable(entries))).toEqual(entries);
    }),
  );
});
