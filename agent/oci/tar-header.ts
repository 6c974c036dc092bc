/**
 * A tar header is one block of 512 bytes (POSIX ustar; GNU and pax extensions):
 *
 *     0 name 100 | 100 mode 8 | 124 size 12 | 148 checksum 8 | 156 type 1 | 257 magic 6 | 345 prefix 155
 *
 * Numbers are octal text, or with the top bit of their first byte set big-endian binary (GNU). The content follows,
 * padded to whole blocks; two blocks of zeros end the archive. A pax header (type `x`) holds records
 * `LENGTH KEY=VALUE\n` for the member after it.
 */

/** Size of a block. */
export const blockBytes = 512;

/** What is read of a member's header. */
export interface TarHeader {
  readonly path: string;
  readonly sizeBytes: number;
  /** `file`, `directory`; `pax` for records of the next member, `pax-global` for records of all; else the type's letter. */
  readonly kind: 'file' | 'directory' | 'pax' | 'pax-global' | { readonly unsupported: string };
}

/** Why a header or record can't be used. */
export class TarError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'TarError';
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new TarError('a member name is not UTF-8');
  }
}

function textField(block: Uint8Array, start: number, length: number): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return decodeText(end === -1 ? field : field.subarray(0, end));
}

function numberField(block: Uint8Array, start: number, length: number): number {
  const field = block.subarray(start, start + length);
  const first = field[0] ?? 0;
  if ((first & 0x80) !== 0) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, first & 0x7f);
    if (!Number.isSafeInteger(value)) throw new TarError('a member size is not a size');
    return value;
  }
  const text = Buffer.from(field)
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart();
  if (!/^[0-7]{1,12}$/.test(text)) throw new TarError('a header holds a number that is not octal');
  return Number.parseInt(text, 8);
}

function kindOf(letter: string): TarHeader['kind'] {
  switch (letter) {
    case '0':
    case '\0':
      return 'file';
    case '5':
      return 'directory';
    case 'x':
      return 'pax';
    case 'g':
      return 'pax-global';
    default:
      return { unsupported: letter };
  }
}

/** Whether a block is all zeros, as at the end of an archive. */
export function isZeroBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

/** Parses one header block. Throws `TarError`. */
export function parseTarHeader(block: Uint8Array): TarHeader {
  const sum = block.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (numberField(block, 148, 8) !== sum) throw new TarError('a header has a wrong checksum');
  const isUstar = textField(block, 257, 5) === 'ustar';
  // GNU keeps other fields where ustar has the prefix, and says so by a space after the magic.
  const prefix = isUstar && block[262] === 0 ? textField(block, 345, 155) : '';
  const name = textField(block, 0, 100);
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    sizeBytes: numberField(block, 124, 12),
    kind: kindOf(String.fromCharCode(block[156] ?? 0)),
  };
}

/** Parses pax records (POSIX pax, "pax Extended Header"). Throws `TarError`. */
export function parsePaxRecords(bytes: Uint8Array): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  let position = 0;
  while (position < bytes.byteLength) {
    const space = bytes.indexOf(0x20, position);
    const lengthText = space === -1 ? '' : Buffer.from(bytes.subarray(position, space)).toString('latin1');
    const length = /^[1-9]\d{0,6}$/.test(lengthText) ? Number(lengthText) : 0;
    const end = position + length;
    if (length === 0 || end > bytes.byteLength || bytes[end - 1] !== 0x0a || end - 1 <= space) {
      throw new TarError('a pax record is malformed');
    }
    const record = decodeText(bytes.subarray(space + 1, end - 1));
    const equals = record.indexOf('=');
    if (equals < 1) throw new TarError('a pax record is malformed');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    position = end;
  }
  return records;
}

/**
 * The path of a member below the layout. Throws `TarError` for an absolute path, `..`, and what no tool writes; a
 * leading `./` goes.
 */
export function normaliseMemberPath(path: string): string {
  const shown = JSON.stringify(path.slice(0, 100));
  if (path === '' || path.includes('\0') || path.includes('\\')) throw new TarError(`${shown} is no member name`);
  if (path.startsWith('/')) throw new TarError(`member ${shown} has an absolute path`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new TarError(`member ${shown} leads out of the archive`);
  return parts.join('/');
}
