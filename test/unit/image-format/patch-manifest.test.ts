import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../agent/core/image-format/digest.ts';
import { encodePatchManifest, parsePatchManifest } from '../../../agent/core/image-format/patch-manifest.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const base = digestOf(bytesOf('older'));
const subject = bytesOf('newer');
const patch = { partition: 'root', layerDigest: digestOf(bytesOf('patch')), layerSizeBytes: 500, headSizeBytes: 70 };
const encoded = () => encodePatchManifest(base, subject, [patch, { ...patch, partition: 'boot' }]);

/** What parsing says of the manifest with one text in the place of another. */
function parseWith(from: string, to: string): unknown {
  const text = Buffer.from(encoded()).toString();
  expect(text).toContain(from);
  return parsePatchManifest(bytesOf(text.replace(from, to)));
}

describe('the manifest of a patch', () => {
  it('is read as it was written', () => {
    expect(parsePatchManifest(encoded())).toEqual({
      base,
      subject: digestOf(subject),
      patches: [patch, { ...patch, partition: 'boot' }],
    });
  });

  it.each([
    ['of another type', '"artifactType":"application/vnd.kaon.patches.v1"', '"artifactType":"application/x"'],
    ['with a layer of another type', 'application/vnd.kaon.patch.v1"', 'application/vnd.kaon.patch.v2"'],
    ['with a layer smaller than its head', '"size":500', '"size":69'],
    ['with a head of no size', '"io.kaon.patch.head-size":"70"', '"io.kaon.patch.head-size":"0"'],
    ['with a head that is no number', '"io.kaon.patch.head-size":"70"', '"io.kaon.patch.head-size":"7e9"'],
    ['without a base', '"io.kaon.patch.base"', '"io.kaon.patch.bass"'],
    ['without a subject', '"subject"', '"object"'],
    [
      'without a layer',
      /"layers":\[.*\],"subject"/.exec(Buffer.from(encoded()).toString())?.[0] ?? '',
      '"layers":[],"subject"',
    ],
  ])('%s is refused', (_what, from, to) => {
    expect(() => parseWith(from, to)).toThrow(expect.objectContaining({ code: 'manifest-invalid' }));
  });
});
