import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SignedImage } from '../../../agent/core/ports.ts';
import { SignedImageFiles } from '../../../agent/store/signed-image-files.ts';
import { sampleImage, sampleIndex } from '../../fakes/sample-image.ts';
import { imageBundle, makeSigner } from '../../fakes/signer.ts';
import { resolved } from '../trust/samples.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kaon-signed-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const signer = makeSigner('ed25519');
const image = sampleImage(['v1']);
const { digest } = image.manifest;
const index = sampleIndex([{ image: image.manifest, architecture: 'amd64' }], ['v1']);
const simple = signer.signImage(digest);
const signed: SignedImage = {
  image: resolved(image, index),
  signatures: [
    simple,
    { ...simple, attested: { certificate: 'PEM', logEntry: '{}' } },
    imageBundle(signer, digest),
    { envelope: new Uint8Array([1, 2, 3]), source: 'x.att' },
  ],
};
const path = () => join(folder, 'signed-b.json');

/** With all bytes of one kind, as a Buffer is no Uint8Array to `toEqual`. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (_name, one: unknown) =>
    typeof one === 'object' && one !== null && 'type' in one && one.type === 'Buffer'
      ? Buffer.from((one as unknown as { data: number[] }).data).toString('base64')
      : one instanceof Uint8Array
        ? Buffer.from(one).toString('base64')
        : one,
  );
  return JSON.parse(text);
}

describe('what a slot is trusted by', () => {
  it('is read back as it was, with the time of the decision', async () => {
    await new SignedImageFiles(folder, () => 42).save('b', signed);
    const kept = await new SignedImageFiles(folder, () => 99).load('b');
    expect(kept?.judgedAtMs).toBe(42);
    expect(plain(kept?.signed)).toEqual(plain(signed));
    expect(kept?.signed.signatures[0]).not.toHaveProperty('attested');
    expect(await new SignedImageFiles(folder, () => 99).load('a')).toBeUndefined();
  });

  it('is replaced by what the slot is written from next', async () => {
    const files = new SignedImageFiles(folder, () => 1);
    await files.save('b', signed);
    await files.save('b', { image: resolved(image), signatures: [] });
    expect((await files.load('b'))?.signed).toMatchObject({ signatures: [], image: { indexBytes: undefined } });
    expect(readdirSync(folder)).toEqual(['signed-b.json']);
  });

  it('is read from what a newer version wrote, without the evidence that this one does not know', async () => {
    const files = new SignedImageFiles(folder, () => 1);
    await files.save('b', signed);
    const document = JSON.parse(readFileSync(path(), 'utf8')) as { signatures: unknown[] };
    document.signatures.unshift({ oracle: 'says so' });
    writeFileSync(path(), JSON.stringify({ ...document, formatVersion: 2, more: 1 }));
    expect((await files.load('b'))?.signed.signatures).toHaveLength(4);
  });

  it.each(['', '{', '{}', '[]', '{"formatVersion":1}'])('is not known where the file holds %j', async (text) => {
    writeFileSync(path(), text);
    expect(await new SignedImageFiles(folder, () => 1).load('b')).toBeUndefined();
  });

  it('is not kept where it is more than 8 MiB', async () => {
    const files = new SignedImageFiles(folder, () => 1);
    const large = { bundle: new Uint8Array(7 * 1024 * 1024), source: 'large' };
    await expect(files.save('b', { ...signed, signatures: [large] })).rejects.toMatchObject({ code: 'journal-failed' });
    expect(await files.load('b')).toBeUndefined();
  });
});
