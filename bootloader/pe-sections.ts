/**
 * The section table of a PE file, as far as systemd-boot reads it (PE format, "MS-DOS Stub" to "Section Table"); all
 * numbers are little-endian:
 *
 *   0x00           `MZ`
 *   0x3c           u32 offset of the PE header, `pe`
 *   pe             `PE\0\0`
 *   pe+4           u16 machine, pe+6 u16 number of sections, pe+20 u16 size of the optional header
 *   pe+24          u16 magic of the optional header: 0x10b (32 bits) or 0x20b (64 bits)
 *   pe+24+optional the sections, 40 bytes each: 8 bytes name padded with NULs, u32 size in memory, u32 address,
 *                  u32 size in the file, u32 offset in the file
 *
 * The loader takes a section's size in memory for the length of its text.
 */

/** One section of a PE file. */
export interface PeSection {
  readonly name: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Where the sections stand in the file. */
export interface SectionTable {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** The bytes at the begin of a file that hold the offset of its PE header. */
export const dosHeaderBytes = 64;
/** The bytes of the PE header up to the magic of its optional header. */
export const peHeaderBytes = 26;

const sectionBytes = 40;
/** What the loader takes at most. */
const mostSections = 96;
const optionalMagics: readonly number[] = [0x10b, 0x20b];

/** The offset of the PE header, or `undefined` for what is no PE file. */
export function parseDosHeader(bytes: Uint8Array): number | undefined {
  if (bytes.byteLength < dosHeaderBytes || textOf(bytes.subarray(0, 2)) !== 'MZ') return undefined;
  return viewOf(bytes).getUint32(0x3c, true);
}

/** Where the sections of the PE header at `offsetBytes` stand, or `undefined` for what the loader would not list. */
export function parsePeHeader(bytes: Uint8Array, offsetBytes: number): SectionTable | undefined {
  if (bytes.byteLength < peHeaderBytes || textOf(bytes.subarray(0, 4)) !== 'PE\0\0') return undefined;
  const view = viewOf(bytes);
  const count = view.getUint16(6, true);
  if (count === 0 || count > mostSections || !optionalMagics.includes(view.getUint16(24, true))) return undefined;
  return { offsetBytes: offsetBytes + 24 + view.getUint16(20, true), sizeBytes: count * sectionBytes };
}

/** The sections of a table; a part of one at the end is none. */
export function parseSectionTable(bytes: Uint8Array): readonly PeSection[] {
  const view = viewOf(bytes);
  return Array.from({ length: Math.floor(bytes.byteLength / sectionBytes) }, (_, index) => {
    const at = index * sectionBytes;
    const [name = ''] = textOf(bytes.subarray(at, at + 8)).split('\0');
    return { name, sizeBytes: view.getUint32(at + 8, true), offsetBytes: view.getUint32(at + 20, true) };
  });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
