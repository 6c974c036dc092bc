/**
 * `/etc/fw_env.config`, where U-Boot's own tools are told where the environment lies, read as they read it:
 *
 *   device   offset   env_size   [sector_size]   [sectors]
 *
 * `#` begins a comment. One line is an environment of one copy, two lines are its two copies. An offset is decimal, or
 * hexadecimal behind `0x`, or octal behind `0`; below zero it counts from the end of the device. Sizes are hexadecimal
 * with and without `0x`: that is what fw_printenv does with them.
 */
import { BootloaderError } from './errors.ts';
import { leastCopyBytes } from './ubootenv.ts';

/** Where one copy of the environment lies. */
export interface EnvironmentRegion {
  readonly device: string;
  /** Below zero: from the end of the device. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly sectorBytes: number | undefined;
  readonly sectors: number | undefined;
}

const mostCopyBytes = 16 * 1024 * 1024;

interface Word {
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

function refuse({ line, column }: Pick<Word, 'line' | 'column'>, reason: string): BootloaderError {
  return new BootloaderError(
    'bootloader-unsupported',
    `cannot read fw_env.config: line ${line}, column ${column}: ${reason}`,
    { details: { line, column } },
  );
}

/** Reads the file; one region or two of equal size. Throws `bootloader-unsupported` with `line` and `column` as details. */
export function parseFwEnvConfig(text: string): readonly EnvironmentRegion[] {
  const regions: EnvironmentRegion[] = [];
  for (const [index, content] of text.split('\n').entries()) {
    const words = splitWords(content, index + 1);
    const [device] = words;
    if (device === undefined) continue;
    if (regions.length === 2) throw refuse(device, 'a third copy; an environment has one or two');
    const region = parseRegion(words, { line: index + 1, column: content.length + 1 });
    const [first] = regions;
    if (first !== undefined) checkPair(first, region, device);
    regions.push(region);
  }
  if (regions.length === 0) throw refuse({ line: 1, column: 1 }, 'the file names no device');
  return regions;
}

function splitWords(content: string, line: number): readonly Word[] {
  const [before = ''] = content.split('#');
  return [...before.matchAll(/\S+/g)].map((match) => ({ text: match[0], line, column: match.index + 1 }));
}

function parseRegion(words: readonly Word[], end: Pick<Word, 'line' | 'column'>): EnvironmentRegion {
  const [device, offset, size, sectorSize, sectors, extra] = words;
  if (device === undefined || offset === undefined || size === undefined) {
    throw refuse(end, 'want a device, an offset and a size');
  }
  if (extra !== undefined) throw refuse(extra, `${JSON.stringify(extra.text)} is one word too many`);
  if (!device.text.startsWith('/')) throw refuse(device, `device ${JSON.stringify(device.text)} is no absolute path`);
  if (/^\/dev\/(mtd|ubi)\d/.test(device.text)) {
    throw refuse(device, `device ${device.text} has to be erased before it is written, which kaon does not do`);
  }
  const sizeBytes = hexadecimal(size);
  if (sizeBytes < leastCopyBytes || sizeBytes > mostCopyBytes) {
    throw refuse(size, `a copy has ${sizeBytes} bytes, want ${leastCopyBytes} to ${mostCopyBytes}`);
  }
  const offsetBytes = parseOffset(offset);
  if (offsetBytes < 0 && -offsetBytes < sizeBytes) throw refuse(offset, 'the copy reaches over the end of its device');
  return {
    device: device.text,
    offsetBytes,
    sizeBytes,
    sectorBytes: sectorSize === undefined ? undefined : hexadecimal(sectorSize),
    sectors: sectors === undefined ? undefined : hexadecimal(sectors),
  };
}

function parseOffset(word: Word): number {
  const match = /^(-?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i.exec(word.text);
  if (match === null) throw refuse(word, `${JSON.stringify(word.text)} is no number`);
  const digits = match[2] ?? '';
  const value = /^0[0-7]/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  if (!Number.isSafeInteger(value)) throw refuse(word, `${word.text} is too large`);
  return match[1] === '-' && value !== 0 ? -value : value;
}

function hexadecimal(word: Word): number {
  if (!/^(0x)?[0-9a-f]+$/i.test(word.text)) throw refuse(word, `${JSON.stringify(word.text)} is no hexadecimal number`);
  const value = Number.parseInt(word.text, 16);
  if (!Number.isSafeInteger(value)) throw refuse(word, `${word.text} is too large`);
  return value;
}

function checkPair(first: EnvironmentRegion, second: EnvironmentRegion, at: Word): void {
  if (first.sizeBytes !== second.sizeBytes) {
    throw refuse(at, `the copies have ${first.sizeBytes} and ${second.sizeBytes} bytes, want the same`);
  }
  const isSameEnd = first.offsetBytes < 0 === second.offsetBytes < 0;
  if (
    first.device === second.device &&
    isSameEnd &&
    Math.abs(first.offsetBytes - second.offsetBytes) < first.sizeBytes
  ) {
    throw refuse(at, 'the copies overlap');
  }
}
