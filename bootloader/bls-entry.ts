/**
 * Boot loader entries of Type 1 (`/loader/entries/NAME.conf`), as systemd-boot reads them:
 *
 *   line       `KEY VALUE`, blanks or tabs between; blanks around it do not count; lines end with LF, CR or both
 *   `#…`       a comment; a line without a value and an unknown key are skipped
 *   again      a key that comes again replaces the earlier one, but `options` and `initrd`, which add up
 *   NUL        ends the file
 *
 * The name carries the counter: `NAME+LEFT.conf` or `NAME+LEFT-DONE.conf`, the same with `.efi`; without DONE it is 0.
 * Text is taken as Latin-1, so that bytes which are no ASCII come out as they went in.
 */

/** One line; `key` is there when the loader reads it as a key with a value. */
interface EntryLine {
  readonly raw: string;
  readonly key: string | undefined;
  readonly value: string;
}

/** An entry's lines, in their order. */
export interface BlsEntry {
  readonly lines: readonly EntryLine[];
}

/** What an entry's file name says. */
export interface EntryName {
  readonly id: string;
  readonly suffix: '.conf' | '.efi';
  /** Boots left and boots done; without a counter the entry is proven. */
  readonly counter: { readonly left: number; readonly done: number } | undefined;
}

/** Reads an entry. Never throws: what the loader would skip is kept and skipped. */
export function parseEntry(bytes: Uint8Array): BlsEntry {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const [whole = ''] = text.split('\0');
  const lines = whole.split(/\r\n|\n|\r/);
  if (lines.at(-1) === '') lines.pop();
  return { lines: lines.map(parseLine) };
}

function parseLine(raw: string): EntryLine {
  const line = raw.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '');
  const match = /^([^# \t][^ \t]*)[ \t]+(.*)$/.exec(line);
  return { raw, key: match?.[1], value: match?.[2] ?? '' };
}

/** The bytes of an entry: the lines as they were, each ended by a newline. */
export function formatEntry(entry: BlsEntry): Uint8Array {
  return Buffer.from(entry.lines.map(({ raw }) => `${raw}\n`).join(''), 'latin1');
}

/** The value of a key that counts once: the last one. */
export function valueOf(entry: BlsEntry, key: string): string | undefined {
  return entry.lines.findLast((line) => line.key === key)?.value;
}

/** `entry` with one value for `key`, where the key stood, or at the end. All else stays as it is. */
export function withValue(entry: BlsEntry, key: string, value: string): BlsEntry {
  const line: EntryLine = { raw: `${key} ${value}`, key, value };
  const last = entry.lines.findLastIndex((known) => known.key === key);
  if (last === -1) return { lines: [...entry.lines, line] };
  return {
    lines: entry.lines.flatMap((known, index) => (index === last ? [line] : known.key === key ? [] : [known])),
  };
}

/** The file that the loader starts, `linux`, `efi` or `uki`, relative to the partition's root; without it the loader skips the entry. */
export function loaderPathOf(entry: BlsEntry): string | undefined {
  const line = entry.lines.findLast(({ key }) => key === 'linux' || key === 'efi' || key === 'uki');
  return line && pathOf(line);
}

/** The files that are loaded beside it: without one of them the entry is listed, and does not start. */
export function besidePathsOf(entry: BlsEntry): readonly string[] {
  return entry.lines.filter(({ key }) => key === 'initrd' || key === 'devicetree').map(pathOf);
}

function pathOf({ value }: EntryLine): string {
  return value
    .split(/[/\\]/)
    .filter((name) => name !== '')
    .join('/');
}

/** Reads an entry's file name; `undefined` when the loader would not list it. */
export function parseEntryName(name: string): EntryName | undefined {
  const match = /^(.+)(\.conf|\.efi)$/i.exec(name);
  const stem = match?.[1] ?? '';
  if (match === null || stem.startsWith('.') || /^auto-/i.test(stem)) return undefined;
  const suffix = match[2]?.toLowerCase() === '.efi' ? '.efi' : '.conf';
  const counted = /^(.*)\+([0-9]+)(?:-([0-9]+))?$/.exec(stem);
  const left = Number(counted?.[2]);
  const done = Number(counted?.[3] ?? 0);
  if (counted === null || Math.max(left, done) > mostCounted) return { id: stem, suffix, counter: undefined };
  return { id: counted[1] ?? '', suffix, counter: { left, done } };
}

/** What the loader's counters hold; a name with more has no counter for it. */
const mostCounted = 0x7fff_ffff;

/** The file name of an entry; a counter that was not used yet has no DONE. */
export function formatEntryName({ id, suffix, counter }: EntryName): string {
  if (counter === undefined) return `${id}${suffix}`;
  return `${id}+${counter.left}${counter.done === 0 ? '' : `-${counter.done}`}${suffix}`;
}
