import type { BlsEntry } from './bls-entry.ts';

/**
 * What systemd-boot makes of the `.osrel` section of a unified kernel image (os-release(5), as the loader reads it):
 *
 *   line   `KEY=VALUE`, blanks and tabs around it do not count; lines end with LF, CR or both; `#…` is a comment
 *   value  without the double quotes around it; a key that comes again replaces the earlier one
 *   NUL    ends the text
 *
 * Text is taken as Latin-1, as that of an entry.
 */

/** The release of an image as the entry that it stands for, or `undefined` where it has no name: the loader does not list it. */
export function parseRelease(bytes: Uint8Array): BlsEntry | undefined {
  const [text = ''] = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1').split('\0');
  const values = new Map(text.split(/[\r\n]+/).flatMap(parseLine));
  const first = (...keys: readonly string[]) => keys.map((key) => values.get(key)).find((value) => value !== undefined);
  const title = first('PRETTY_NAME', 'IMAGE_ID', 'NAME', 'ID');
  if (title === undefined) return undefined;
  const keys = {
    title,
    'sort-key': first('IMAGE_ID', 'ID'),
    version: first('IMAGE_VERSION', 'VERSION', 'VERSION_ID', 'BUILD_ID'),
  };
  return {
    lines: Object.entries(keys).flatMap(([key, value]) =>
      value === undefined ? [] : [{ raw: `${key} ${value}`, key, value }],
    ),
  };
}

function parseLine(raw: string): readonly (readonly [string, string])[] {
  const line = raw.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '');
  const end = line.indexOf('=');
  if (line.startsWith('#') || end === -1) return [];
  const value = line.slice(end).replace(/^=+/, '');
  return [[line.slice(0, end), /^".*"$/.test(value) ? value.slice(1, -1) : value]];
}
