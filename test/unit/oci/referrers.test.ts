import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../agent/core/image-format/digest.ts';
import { addReferrer, parseReferrers, type Referrer, referrersTag } from '../../../agent/oci/referrers.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const referrer = (text: string, base: string): Referrer => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digestOf(bytesOf(text)),
  sizeBytes: 7,
  artifactType: 'application/vnd.kaon.patches.v1',
  annotations: { 'io.kaon.patch.base': base },
});

describe('a list of referrers', () => {
  it('is at the tag that the specification names', () => {
    expect(referrersTag(`sha256:${'a'.repeat(64)}`)).toBe(`sha256-${'a'.repeat(64)}`);
    expect(referrersTag(`sha512:${'b'.repeat(128)}`)).toBe(`sha512-${'b'.repeat(64)}`);
  });

  it('keeps what is on it, and has one entry for what says the same', () => {
    const one = addReferrer(undefined, referrer('one', 'a'));
    const two = addReferrer(one, referrer('two', 'b'));
    expect(parseReferrers(two)).toEqual([referrer('one', 'a'), referrer('two', 'b')]);
    expect(parseReferrers(addReferrer(two, referrer('three', 'a')))).toEqual([
      referrer('two', 'b'),
      referrer('three', 'a'),
    ]);
  });

  it('keeps entries of others as they are, and reads past those that are malformed', () => {
    const foreign = { mediaType: 'x', digest: 'none', extra: [1] };
    const list = bytesOf(JSON.stringify({ manifests: [foreign, 7] }));
    const added = addReferrer(list, referrer('one', 'a'));
    expect(JSON.parse(Buffer.from(added).toString())).toMatchObject({ manifests: [foreign, 7, { size: 7 }] });
    expect(parseReferrers(added)).toEqual([referrer('one', 'a')]);
  });

  it('that is none is refused', () => {
    for (const text of ['[]', '{"manifests":3}', 'no json']) {
      expect(() => parseReferrers(bytesOf(text))).toThrow(expect.objectContaining({ code: 'manifest-invalid' }));
    }
  });
});
