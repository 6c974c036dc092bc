/**
 * The Raspberry Pi's autoboot.txt: at most 512 bytes, so that one sector holds it.
 *
 *     [all]                      settings before the first section belong to it, too
 *     tryboot_a_b=1              a tryboot changes the partition, not config.txt
 *     boot_partition=2           what boots
 *     [tryboot]                  only in a boot whose one-shot flag is set
 *     boot_partition=3
 *     #kaon other=trial 1f2e3d4c
 *
 * The last line is a comment for the firmware. It says what the slot is that [all] does not name: `good`, `bad`, `trial`
 * with the first eight digits of the id of the boot that armed it, or `tried` with those of the boot whose reboot set the
 * one-shot flag. All other lines stay as they are. The file keeps its size, filled up with line ends: a size that changes
 * would be a second sector, that of its FAT directory.
 */
import { BootloaderError } from './errors.ts';

/** What the file says of the slot that it does not boot. */
export type OtherSlotNote =
  | { readonly state: 'good' }
  | { readonly state: 'bad' }
  | {
      readonly state: 'trial';
      /** The first eight digits of the id of the boot that armed it, or whose reboot began it. */
      readonly armedIn: string;
      /** Whether a reboot with the one-shot flag was about to be made. */
      readonly hasBegun: boolean;
    };

/** Our part of the file, as values. */
export interface AutobootValues {
  /** What boots. */
  readonly partition: number;
  /** What a tryboot boots; `undefined` when the file does not say. */
  readonly trybootPartition: number | undefined;
  /** `undefined` in a file that is not ours yet. */
  readonly other: OtherSlotNote | undefined;
}

/** The most that the firmware reads. */
export const mostAutobootBytes = 512;

const partitionKey = 'boot_partition';
const modeKey = 'tryboot_a_b';
const notePrefix = '#kaon ';
const notePattern = /^#kaon other=(?:(good|bad)|(trial|tried) ([0-9a-f]{8}))$/;

interface Line {
  readonly text: string;
  readonly section: string;
  readonly key: string | undefined;
  readonly value: string;
}

function corrupt(reason: string): BootloaderError {
  return new BootloaderError('boot-env-corrupt', `cannot read autoboot.txt: ${reason}`);
}

function splitLines(bytes: Uint8Array): readonly Line[] {
  if (bytes.byteLength > mostAutobootBytes) {
    throw corrupt(`it has ${bytes.byteLength} bytes, want at most ${mostAutobootBytes}`);
  }
  let section = 'all';
  const texts = Buffer.from(bytes)
    .toString('latin1')
    .replace(/[\r\n\0 ]+$/, '')
    .split('\n');
  return texts.map((raw) => {
    const text = raw.replace(/\r$/, '');
    const title = /^\s*\[(.*)\]\s*$/.exec(text)?.[1];
    if (title !== undefined) section = title.trim().toLowerCase();
    const setting = /^\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)$/.exec(text);
    return { text, section, key: setting?.[1], value: setting?.[2]?.trim() ?? '' };
  });
}

function isOurs({ text, section, key }: Line): boolean {
  if (text.startsWith(notePrefix)) return true;
  return (
    (section === 'all' && (key === partitionKey || key === modeKey)) || (section === 'tryboot' && key === partitionKey)
  );
}

/** Reads our part. Throws `boot-env-corrupt` for what is missing, impossible, said twice, or said for some boards only. */
export function parseAutoboot(bytes: Uint8Array): AutobootValues {
  const lines = splitLines(bytes);
  const only = (section: string, wanted: string): string | undefined => {
    const [line, ...more] = lines.filter(({ section: where, key }) => where === section && key === wanted);
    if (more.length > 0) throw corrupt(`[${section}] has ${wanted} more than once`);
    return line?.value;
  };
  const elsewhere = lines.find((line) => line.key === partitionKey && !isOurs(line));
  if (elsewhere !== undefined) throw corrupt(`[${elsewhere.section}] sets ${partitionKey}, too`);
  const mode = only('all', modeKey);
  if (mode !== '1') throw corrupt(`${modeKey} is ${JSON.stringify(mode ?? 'missing')}, want 1`);
  const partition = only('all', partitionKey);
  if (partition === undefined) throw corrupt(`[all] has no ${partitionKey}`);
  const tryboot = only('tryboot', partitionKey);
  return {
    partition: parsePartition(partition),
    trybootPartition: tryboot === undefined ? undefined : parsePartition(tryboot),
    other: parseNote(lines),
  };
}

function parsePartition(text: string): number {
  if (!/^[1-9][0-9]{0,2}$/.test(text)) throw corrupt(`${partitionKey} is ${JSON.stringify(text)}, want a number`);
  return Number(text);
}

function parseNote(lines: readonly Line[]): OtherSlotNote | undefined {
  const [note, ...more] = lines.filter(({ text }) => text.startsWith(notePrefix));
  if (note === undefined) return undefined;
  if (more.length > 0) throw corrupt('it has more than one note of ours');
  const [, state, word, armedIn] = notePattern.exec(note.text) ?? [];
  if (state === 'good' || state === 'bad') return { state };
  if (armedIn !== undefined) return { state: 'trial', armedIn, hasBegun: word === 'tried' };
  throw corrupt(`its note is ${JSON.stringify(note.text)}`);
}

/**
 * The file with our part made anew before all other lines, which stay as they are; `sizeBytes` long. A damaged file
 * keeps what is legible of it. Throws `boot-env-write-failed` when there is no room for it, or
 * more than the firmware reads.
 */
export function encodeAutoboot(
  values: AutobootValues & { readonly other: OtherSlotNote },
  before: Uint8Array,
  sizeBytes: number,
): Uint8Array {
  const { partition, trybootPartition, other } = values;
  const ours = ['[all]', `${modeKey}=1`, `${partitionKey}=${partition}`];
  if (trybootPartition !== undefined) ours.push('[tryboot]', `${partitionKey}=${trybootPartition}`);
  ours.push(`${notePrefix}other=${formatNote(other)}`);
  const foreign = foreignLines(splitLines(before.subarray(0, mostAutobootBytes)));
  const text = [...ours, ...foreign, ''].join('\n');
  if (text.length > sizeBytes || sizeBytes > mostAutobootBytes) {
    throw new BootloaderError(
      'boot-env-write-failed',
      `cannot write autoboot.txt: it has ${sizeBytes} bytes and needs ${text.length} to ${mostAutobootBytes}; fill it up with line ends`,
    );
  }
  return Buffer.from(text.padEnd(sizeBytes, '\n'), 'latin1');
}

function formatNote(other: OtherSlotNote): string {
  return other.state === 'trial' ? `${other.hasBegun ? 'tried' : 'trial'} ${other.armedIn}` : other.state;
}

/** What is not ours, each section with its title; a damaged file's other `boot_partition` lines are left out. */
function foreignLines(lines: readonly Line[]): readonly string[] {
  const kept: string[] = [];
  // Our own part ends in [tryboot].
  let section = 'tryboot';
  for (const line of lines) {
    if (isOurs(line) || line.key === partitionKey || line.text.trim() === '' || /^\s*\[/.test(line.text)) continue;
    const isComment = line.text.trimStart().startsWith('#');
    if (line.section !== section && !isComment) {
      kept.push(`[${line.section}]`);
      section = line.section;
    }
    kept.push(line.text);
  }
  return kept;
}
