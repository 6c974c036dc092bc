import type { FileHandle } from 'node:fs/promises';
import { archiveInvalid, type LayoutFile, type LayoutFiles, openRegular, readAt } from './layout-files.ts';
import {
  blockBytes,
  isZeroBlock,
  normaliseMemberPath,
  parsePaxRecords,
  parseTarHeader,
  TarError,
  type TarHeader,
} from './tar-header.ts';

const limits = { members: 4096, paxBytes: 64 * 1024 } as const;

/** Where a member's content lies in the archive. */
export interface TarMember {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Reads `length` bytes at `position`; fewer only at the end of the archive. */
export type ReadPart = (position: number, length: number) => Promise<Uint8Array>;

interface MemberOverride {
  readonly path?: string;
  readonly sizeBytes?: number;
}

async function readOverride(read: ReadPart, position: number, header: TarHeader): Promise<MemberOverride> {
  if (header.sizeBytes > limits.paxBytes) throw new TarError(`a pax header is larger than ${limits.paxBytes} bytes`);
  const records = parsePaxRecords(await read(position, header.sizeBytes));
  const path = records.get('path');
  const size = records.get('size');
  if (size !== undefined && !/^\d{1,15}$/.test(size)) throw new TarError('a pax record holds a size that is no number');
  for (const key of records.keys()) {
    if (key === 'linkpath' || key.startsWith('GNU.sparse')) throw new TarError(`a member has ${key}`);
  }
  return { ...(path === undefined ? {} : { path }), ...(size === undefined ? {} : { sizeBytes: Number(size) }) };
}

function addMember(members: Map<string, TarMember>, header: TarHeader, offset: number, override: MemberOverride): void {
  const path = normaliseMemberPath(override.path ?? header.path);
  if (header.kind === 'directory') return;
  if (typeof header.kind === 'object') {
    throw new TarError(`member ${path} is of type ${JSON.stringify(header.kind.unsupported)}, only files are read`);
  }
  if (members.has(path)) throw new TarError(`member ${path} comes twice`);
  members.set(path, { offset, sizeBytes: override.sizeBytes ?? header.sizeBytes });
}

/**
 * The members of a tar of `sizeBytes` bytes by their paths, found by reading the headers alone. Throws `TarError` for
 * links, devices, paths that lead out, doubles, too many members, and an archive that ends early.
 */
export async function indexTar(read: ReadPart, sizeBytes: number): Promise<ReadonlyMap<string, TarMember>> {
  const members = new Map<string, TarMember>();
  let override: MemberOverride = {};
  let headers = 0;
  for (let position = 0; ;) {
    const block = await read(position, blockBytes);
    if (block.byteLength < blockBytes) throw new TarError('it ends early');
    if (isZeroBlock(block)) return members;
    headers += 1;
    if (headers > limits.members) throw new TarError(`it has more than ${limits.members} members`);
    const header = parseTarHeader(block);
    const offset = position + blockBytes;
    const isOverride = header.kind === 'pax' || header.kind === 'pax-global';
    const contentBytes = isOverride ? header.sizeBytes : (override.sizeBytes ?? header.sizeBytes);
    if (offset + contentBytes > sizeBytes) throw new TarError('it ends early');
    if (header.kind === 'pax') {
      override = await readOverride(read, offset, header);
    } else if (header.kind !== 'pax-global') {
      addMember(members, header, offset, override);
      override = {};
    } else if (Object.keys(await readOverride(read, offset, header)).length > 0) {
      throw new TarError('a global pax header renames or resizes members');
    }
    position = offset + Math.ceil(contentBytes / blockBytes) * blockBytes;
  }
}

function compressionOf(head: Uint8Array): string | undefined {
  const magic = Buffer.from(head.subarray(0, 4)).toString('hex');
  if (magic.startsWith('1f8b')) return 'gzip';
  return magic === '28b52ffd' ? 'zstd' : undefined;
}

/** The files of a layout inside an uncompressed tar; blobs are read where they lie. */
export class ArchiveFiles implements LayoutFiles {
  readonly location: string;
  readonly #file: FileHandle;
  readonly #members: ReadonlyMap<string, TarMember>;

  private constructor(location: string, file: FileHandle, members: ReadonlyMap<string, TarMember>) {
    this.location = location;
    this.#file = file;
    this.#members = members;
  }

  /** Opens and indexes the archive at `path`. Rejects with `archive-invalid`. */
  static async open(path: string): Promise<ArchiveFiles> {
    const location = `oci-archive:${path}`;
    const file = await openRegular(path, location);
    if (file === undefined) throw archiveInvalid(location, 'there is no such file');
    try {
      const read: ReadPart = async (position, length) => {
        const buffer = Buffer.alloc(length);
        return buffer.subarray(0, await readAt(file, buffer, position, location));
      };
      const compression = compressionOf(await read(0, 4));
      if (compression !== undefined) {
        throw archiveInvalid(location, `it is compressed (${compression}); unpack it to a plain tar first`);
      }
      return new ArchiveFiles(location, file, await indexTar(read, (await file.stat()).size));
    } catch (error) {
      await file.close();
      throw error instanceof TarError ? archiveInvalid(location, error.message) : error;
    }
  }

  async open(path: string): Promise<LayoutFile | undefined> {
    const member = this.#members.get(path);
    if (member === undefined) return undefined;
    return {
      sizeBytes: member.sizeBytes,
      readAt: (buffer, position) => {
        const length = Math.max(0, Math.min(buffer.byteLength, member.sizeBytes - position));
        return readAt(this.#file, buffer.subarray(0, length), member.offset + position, this.location);
      },
      close: async () => {
        // The archive itself stays open for the other members.
      },
    };
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
