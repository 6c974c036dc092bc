import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { LayoutImageSource } from '../../../agent/oci/layout-source.ts';
import { LayoutWriter } from '../../../agent/oci/layout-writer.ts';
import { sampleImage, sha256, signatureLayer, signatureObject, writeLayout } from '../../fakes/sample-image.ts';

const never = new AbortController().signal;
const platform = { os: 'linux', architecture: 'amd64', variant: undefined };
const one = sampleImage(['v1']);
const other = sampleImage(['v2'], 8192, 2);
let directory = '';

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-layout-'));
});
afterEach(() => rm(directory, { recursive: true }));

function resolve(reference: string, refName?: string) {
  const source = new LayoutImageSource({ kind: 'layout', path: directory, refName }, platform);
  return source.resolve(parseReference(reference), never);
}

describe('an image in a layout', () => {
  it('is found by the name that the location gives, before anything else', async () => {
    await writeLayout(directory, [one, other]);
    expect((await resolve('r.test/os:v1', 'v2')).resolvedDigest).toBe(other.manifest.digest);
    await expect(resolve('r.test/os:v1', 'v3')).rejects.toMatchObject({
      code: 'image-not-found',
      message: expect.stringContaining('v1, v2') as string,
    });
  });

  it('is found by the full reference, then by its tag', async () => {
    await writeLayout(directory, [{ ...one, manifests: [{ ...one.manifest, names: ['r.test/os:v2'] }] }, other]);
    expect((await resolve('r.test/os:v2')).resolvedDigest).toBe(one.manifest.digest);
    expect((await resolve('r.test/other:v2')).resolvedDigest).toBe(other.manifest.digest);
  });

  it('is the only one there is, beside its signatures', async () => {
    const payload = Buffer.from('{}');
    const signature = signatureObject(one.manifest.digest, [signatureLayer(payload, 'c2ln')], [payload]);
    await writeLayout(directory, [one, signature]);
    expect((await resolve('r.test/os:anything')).resolvedDigest).toBe(one.manifest.digest);
  });

  it('never stands in for another digest than the reference pins', async () => {
    await writeLayout(directory, [one]);
    const pinned = `r.test/os@${other.manifest.digest}`;
    await expect(resolve(pinned)).rejects.toMatchObject({ code: 'image-not-found' });
    await expect(resolve(pinned, 'v1')).rejects.toMatchObject({ code: 'digest-mismatch' });
  });
});

describe('a layout', () => {
  it.each([
    ['no oci-layout', (at: string) => rm(join(at, 'oci-layout'))],
    ['no index.json', (at: string) => rm(join(at, 'index.json'))],
    ['another version', (at: string) => writeFile(join(at, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}')],
    ['an index that is no JSON', (at: string) => writeFile(join(at, 'index.json'), '{')],
    ['an index that is a manifest', (at: string) => writeFile(join(at, 'index.json'), one.manifest.bytes)],
    ['a missing manifest', (at: string) => rm(join(at, 'blobs', one.manifest.digest.replace(':', '/')))],
    ['a missing config', (at: string) => rm(join(at, 'blobs', sha256(one.configBytes).replace(':', '/')))],
    [
      'a directory in place of a file',
      async (at: string) => {
        await rm(join(at, 'index.json'));
        await mkdir(join(at, 'index.json'));
      },
    ],
    [
      'a link in place of a file',
      async (at: string) => {
        await rm(join(at, 'index.json'));
        await symlink('/etc/passwd', join(at, 'index.json'));
      },
    ],
  ])('with %s is refused', async (_name, damage) => {
    await writeLayout(directory, [one]);
    await damage(directory);
    await expect(resolve('r.test/os:v1')).rejects.toMatchObject({ code: 'archive-invalid' });
  });

  it('that is not there is refused', async () => {
    await rm(directory, { recursive: true });
    await expect(resolve('r.test/os:v1')).rejects.toMatchObject({ code: 'archive-invalid' });
    await mkdir(directory);
  });

  it('whose layer is short or missing is refused', async () => {
    await writeLayout(directory, [one]);
    const source = new LayoutImageSource({ kind: 'layout', path: directory, refName: undefined }, platform);
    const image = await resolve('r.test/os:v1');
    const layer = { digest: one.layer.digest, sizeBytes: one.layer.sizeBytes + 1 };
    const read = async () => {
      for await (const piece of source.openLayer(image, layer, never)) expect(piece.byteLength).toBe(0);
    };
    await expect(read()).rejects.toMatchObject({ code: 'archive-invalid' });
  });
});

describe('a layout writer', () => {
  it('makes a layout that reads back, and adds to it later', async () => {
    const target = join(directory, 'new');
    const writer = await LayoutWriter.open(target);
    const pieces = async function* () {
      yield one.layer.bytes.subarray(0, 1000);
      yield one.layer.bytes.subarray(1000);
    };
    expect(await writer.writeBlob(pieces())).toEqual({ digest: one.layer.digest, sizeBytes: one.layer.sizeBytes });
    await writer.writeBlob(one.configBytes);
    await writer.putManifest(one.manifest.bytes, mediaTypes.ociManifest, 'v1');

    const again = await LayoutWriter.open(target);
    for (const { bytes } of other.blobs) await again.writeBlob(bytes);
    await again.putManifest(other.manifest.bytes, mediaTypes.ociManifest, 'v2');
    await again.putManifest(other.manifest.bytes, mediaTypes.ociManifest, 'v2');

    const source = new LayoutImageSource({ kind: 'layout', path: target, refName: undefined }, platform);
    for (const image of [one, other]) {
      const name = image.manifest.names[0] ?? '';
      const resolved = await source.resolve(parseReference(`r.test/os:${name}`), never);
      expect(resolved.resolvedDigest).toBe(image.manifest.digest);
    }
    const index = JSON.parse(await readFile(join(target, 'index.json'), 'utf8')) as { manifests: unknown[] };
    expect(index.manifests).toHaveLength(2);
    expect(await readdir(join(target, 'blobs'))).toEqual(['sha256']);
  });

  it('keeps what other tools wrote into the index', async () => {
    await writeLayout(directory, [one]);
    const path = join(directory, 'index.json');
    const index = JSON.parse(await readFile(path, 'utf8')) as { manifests: Record<string, unknown>[] };
    index.manifests[0]!['artifactType'] = 'application/x';
    await writeFile(path, JSON.stringify(index));
    const writer = await LayoutWriter.open(directory);
    await writer.putManifest(other.manifest.bytes, mediaTypes.ociManifest, 'v2');
    const after = JSON.parse(await readFile(path, 'utf8')) as { manifests: Record<string, unknown>[] };
    expect(after.manifests.map(({ artifactType }) => artifactType)).toEqual(['application/x', undefined]);
  });

  it('leaves nothing half written when the content fails', async () => {
    const target = join(directory, 'new');
    const writer = await LayoutWriter.open(target);
    const broken = async function* () {
      yield Buffer.from('half');
      throw new Error('the disk is gone');
    };
    await expect(writer.writeBlob(broken())).rejects.toThrow('the disk is gone');
    expect(await readdir(join(target, 'blobs'))).toEqual(['sha256']);
    expect(await readdir(join(target, 'blobs', 'sha256'))).toEqual([]);
  });

  it('does not write into a directory that holds something else', async () => {
    await writeFile(join(directory, 'index.json'), '{"a web page":true}');
    await expect(LayoutWriter.open(directory)).rejects.toMatchObject({ code: 'archive-invalid' });
  });
});
