import type { BlsEntry } from './bls-entry.ts';
import type { BootDirectory } from './boot-directory.ts';
import { BootloaderError } from './errors.ts';
import {
  dosHeaderBytes,
  parseDosHeader,
  parsePeHeader,
  parseSectionTable,
  peHeaderBytes,
  type PeSection,
} from './pe-sections.ts';
import { parseRelease } from './uki-release.ts';

/** Far more than os-release has. */
export const releaseLimitBytes = 64 * 1024;

/** A unified kernel image as the loader lists it. */
export interface Uki {
  /** `title`, `sort-key` and `version`, as an entry of Type 1 would have them. */
  readonly entry: BlsEntry;
  /** Whether it has more than one profile (`.profile`): newer loaders list an entry for each, older ones only one. */
  readonly hasProfiles: boolean;
}

/**
 * Reads what the loader reads of a file in `EFI/Linux`: the headers and one section, never the whole image. Resolves to
 * `undefined` for what it would not list. Rejects with `boot-env-unreadable`, also for a section without bounds.
 */
export async function readUki(directory: BootDirectory, path: string): Promise<Uki | undefined> {
  const sections = await readSections(directory, path);
  const release = sections?.find(({ name }) => name === '.osrel');
  if (sections === undefined || release === undefined || release.sizeBytes === 0) return undefined;
  if (release.sizeBytes > releaseLimitBytes) {
    throw new BootloaderError(
      'boot-env-unreadable',
      `cannot read ${path}: its .osrel has ${release.sizeBytes} bytes, want at most ${releaseLimitBytes}`,
      { details: { path } },
    );
  }
  const entry = parseRelease(await directory.readRange(path, release.offsetBytes, release.sizeBytes));
  return entry && { entry, hasProfiles: sections.some(({ name }) => name === '.profile') };
}

async function readSections(directory: BootDirectory, path: string): Promise<readonly PeSection[] | undefined> {
  const peOffset = parseDosHeader(await directory.readRange(path, 0, dosHeaderBytes));
  if (peOffset === undefined) return undefined;
  const table = parsePeHeader(await directory.readRange(path, peOffset, peHeaderBytes), peOffset);
  if (table === undefined) return undefined;
  const bytes = await directory.readRange(path, table.offsetBytes, table.sizeBytes);
  // The loader takes a table that ends early for none.
  return bytes.byteLength === table.sizeBytes ? parseSectionTable(bytes) : undefined;
}
