import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import tar from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ArchiveFiles, indexTar } from '../../../agent/oci/archive-files.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-tar-'));
});
afterEach(() => rm(directory, { recursive: true }));

type Entry = readonly [Partial<tar.Header> & { name: string }, string];

async function pack(entries: readonly Entry[]): Promise<Buffer> {
  const stream = tar.pack();
  for (const [header, content] of entries) stream.entry({ ...header, size: Buffer.byteLength(content) }, content);
  stream.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

async function open(bytes: Buffer): Promise<ArchiveFiles> {
  const path = join(directory, 'image.tar');
  await writeFile(path, bytes);
  return ArchiveFiles.open(path);
}

async function readMember(files: ArchiveFiles, path: string): Promise<string | undefined> {
  const file = await files.open(path);
  if (file === undefined) return undefined;
  const buffer = Buffer.alloc(file.sizeBytes + 10);
  return buffer.toString('utf8', 0, await file.readAt(buffer, 0));
}

/** Changes a header field and repairs the checksum. */
function patched(bytes: Buffer, at: number, change: (header: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  const header = copy.subarray(at, at + 512);
  change(header);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return copy;
}

describe('an archive', () => {
  it('gives its members by path, whatever stands before them', async () => {
    const long = `blobs/${'d'.repeat(120)}/file`;
    const bytes = await pack([
      [{ name: './', type: 'directory' }, ''],
      [{ name: './oci-layout' }, '{}'],
      [{ name: 'index.json' }, 'i'.repeat(700)],
      [{ name: long, pax: { comment: 'ü' } }, 'long'],
    ]);
    const files = await open(bytes);
    expect(await readMember(files, 'oci-layout')).toBe('{}');
    expect(await readMember(files, 'index.json')).toBe('i'.repeat(700));
    expect(await readMember(files, long)).toBe('long');
    expect(await readMember(files, 'missing')).toBeUndefined();
    await files.close();
  });

  it('reads a member at an offset and never beyond its end', async () => {
    const files = await open(
      await pack([
        [{ name: 'a' }, 'hello'],
        [{ name: 'b' }, 'world'],
      ]),
    );
    const file = await files.open('a');
    const buffer = Buffer.alloc(10);
    expect(await file?.readAt(buffer, 3)).toBe(2);
    expect(await file?.readAt(buffer, 9)).toBe(0);
    await files.close();
  });

  it('finds members behind a large one without reading through it', async () => {
    const member = async (name: string, sizeBytes: number) => {
      const [head] = [await pack([[{ name }, '']])];
      return patched(head, 0, (header) => {
        // GNU's binary size, as tars of more than 8 GiB have it.
        header.writeUInt32BE(0x80000000, 124);
        header.writeUInt32BE(0, 128);
        header.writeUInt32BE(Math.floor(sizeBytes / 2 ** 32), 128);
        header.writeUInt32BE(sizeBytes % 2 ** 32, 132);
      }).subarray(0, 512);
    };
    const huge = 10 * 2 ** 30;
    const [first, second] = [await member('huge', huge), await member('after', 5)];
    let readBytes = 0;
    const read = async (position: number, length: number) => {
      readBytes += length;
      if (position === 0) return first;
      return position === 512 + huge ? second : Buffer.alloc(length);
    };
    const index = await indexTar(read, 512 + huge + 512 + 512 + 1024);
    expect([...index]).toEqual([
      ['huge', { offset: 512, sizeBytes: huge }],
      ['after', { offset: 1024 + huge, sizeBytes: 5 }],
    ]);
    expect(readBytes).toBeLessThan(10_000);
  });

  it.each<[string, readonly Entry[]]>([
    ['a path that leads out', [[{ name: 'blobs/../../etc/passwd' }, 'x']]],
    ['an absolute path', [[{ name: '/etc/passwd' }, 'x']]],
    ['a backslash', [[{ name: 'a\\b' }, 'x']]],
    ['a symbolic link', [[{ name: 'index.json', type: 'symlink', linkname: '/etc/shadow' }, '']]],
    ['a hard link', [[{ name: 'index.json', type: 'link', linkname: 'x' }, '']]],
    ['a device', [[{ name: 'index.json', type: 'block-device' }, '']]],
    ['a FIFO', [[{ name: 'index.json', type: 'fifo' }, '']]],
    [
      'a member twice',
      [
        [{ name: 'a' }, '1'],
        [{ name: './a' }, '2'],
      ],
    ],
    ['a path in a pax record that leads out', [[{ name: 'a', pax: { path: '../a' } }, '1']]],
    ['a sparse member', [[{ name: 'a', pax: { 'GNU.sparse.size': '9' } }, '1']]],
    ['too many members', Array.from({ length: 4097 }, (_, number): Entry => [{ name: `m${number}` }, ''])],
  ])('is refused for %s', async (_name, entries) => {
    await expect(open(await pack(entries))).rejects.toMatchObject({ code: 'archive-invalid' });
  });

  it('is refused when it is compressed, empty, cut or no tar, and says which', async () => {
    const bytes = await pack([
      [{ name: 'a' }, 'x'.repeat(2000)],
      [{ name: 'b' }, 'y'],
    ]);
    await expect(open(gzipSync(bytes))).rejects.toThrow(/gzip/);
    await expect(open(zstdCompressSync(bytes))).rejects.toThrow(/zstd/);
    for (const length of [0, 1, 511, 512, 1000, 2048, 2560, 3000, 3584]) {
      await expect(open(bytes.subarray(0, length)), String(length)).rejects.toMatchObject({ code: 'archive-invalid' });
    }
    await expect(open(Buffer.alloc(2048, 'x'))).rejects.toMatchObject({ code: 'archive-invalid' });
    await expect(ArchiveFiles.open(join(directory, 'none.tar'))).rejects.toMatchObject({ code: 'archive-invalid' });
    await expect(ArchiveFiles.open(directory)).rejects.toMatchObject({ code: 'archive-invalid' });
  });

  it('never fails but with its code, whichever byte of a header is damaged', async () => {
    const bytes = await pack([
      [{ name: 'a', pax: { comment: 'c' } }, 'x'],
      [{ name: 'b' }, 'y'],
    ]);
    const read = (source: Buffer) => async (position: number, length: number) =>
      source.subarray(position, position + length);
    for (let at = 0; at < 512 * 3; at++) {
      const start = at - (at % 512);
      // With the checksum repaired, so that the damage reaches the fields.
      const damaged = patched(bytes, start, (header) => {
        header[at - start] = (header[at - start] ?? 0) ^ 0x41;
      });
      const outcome = await indexTar(read(damaged), damaged.byteLength).then(
        () => 'read',
        (error: unknown) => (error as Error).name,
      );
      expect(['read', 'TarError']).toContain(outcome);
    }
  });
});
