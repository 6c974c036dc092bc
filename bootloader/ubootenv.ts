/**
 * One copy of U-Boot's environment, as U-Boot, libubootenv and mkenvimage read and write it:
 *
 *   offset 0   u32, little-endian: CRC-32 (zlib's) over the data alone
 *   then       u8 flags, only where there are two copies; no checksum covers it
 *   then       data: `name=value` NUL, again and again, one more NUL, and padding to the end of the copy
 *
 * Names and values are held as latin1 here, a character for each byte: what is not ours is written back byte by byte.
 */
import { crc32 } from 'node:zlib';
import { BootloaderError } from './errors.ts';

/** One variable, in the order of the environment. Characters stand for bytes. */
export type UbootVariable = readonly [name: string, value: string];

/** What one copy holds. */
export interface EnvironmentCopy {
  /** Which of two copies is the newer one; `undefined` where there is only one. */
  readonly flags: number | undefined;
  readonly variables: readonly UbootVariable[];
}

/** Where the flags lie in a copy that has them. */
export const flagsOffset = 4;

const crcBytes = 4;

/** The least bytes that a copy can have: checksum, flags and the end of the data. */
export const leastCopyBytes = 8;

function corrupt(reason: string): BootloaderError {
  return new BootloaderError('boot-env-corrupt', `cannot read the U-Boot environment: ${reason}`);
}

function unwritable(reason: string): BootloaderError {
  return new BootloaderError('boot-env-write-failed', `cannot write the U-Boot environment: ${reason}`);
}

/** Reads a copy; `hasFlags` says whether it is one of two. Throws `boot-env-corrupt`. */
export function decodeCopy(copy: Uint8Array, hasFlags: boolean): EnvironmentCopy {
  const bytes = Buffer.from(copy.buffer, copy.byteOffset, copy.byteLength);
  if (bytes.byteLength < leastCopyBytes) throw corrupt(`it has ${bytes.byteLength} bytes`);
  const data = bytes.subarray(hasFlags ? flagsOffset + 1 : crcBytes);
  if (crc32(data) !== bytes.readUInt32LE(0)) throw corrupt('its checksum does not match');
  return { flags: hasFlags ? bytes.readUInt8(flagsOffset) : undefined, variables: decodeData(data) };
}

function decodeData(data: Buffer): readonly UbootVariable[] {
  const variables = new Map<string, string>();
  for (let at = 0; ;) {
    const end = data.indexOf(0, at);
    if (end === -1) throw corrupt('its data has no end');
    if (end === at) return [...variables];
    const entry = data.toString('latin1', at, end);
    const equals = entry.indexOf('=');
    if (equals < 1) throw corrupt(`there is no variable at byte ${at} of its data`);
    const name = entry.slice(0, equals);
    if (variables.has(name)) throw corrupt(`variable ${name} is there twice`);
    variables.set(name, entry.slice(equals + 1));
    at = end + 1;
  }
}

/**
 * A copy of `sizeBytes` with `variables` in their order; with flags when they are given. Throws `boot-env-write-failed`
 * when there is no room, or for a name or value that the format cannot hold.
 */
export function encodeCopy(
  variables: readonly UbootVariable[],
  sizeBytes: number,
  flags: number | undefined,
): Uint8Array {
  for (const [name, value] of variables) checkVariable(name, value);
  const dataAt = flags === undefined ? crcBytes : flagsOffset + 1;
  // An environment without variables is two NULs, too: U-Boot looks for them to find the end.
  const text = `${variables.map(([name, value]) => `${name}=${value}\0`).join('') || '\0'}\0`;
  if (dataAt + text.length > sizeBytes) throw unwritable(`it needs ${dataAt + text.length} bytes and has ${sizeBytes}`);
  const bytes = Buffer.alloc(sizeBytes);
  bytes.write(text, dataAt, 'latin1');
  bytes.writeUInt32LE(crc32(bytes.subarray(dataAt)), 0);
  if (flags !== undefined) bytes.writeUInt8(flags, flagsOffset);
  return bytes;
}

function checkVariable(name: string, value: string): void {
  const isLatin1 = (text: string): boolean => Buffer.from(text, 'latin1').toString('latin1') === text;
  if (!/^[^=\0]+$/.test(name) || !isLatin1(name)) throw unwritable(`${JSON.stringify(name)} cannot name a variable`);
  if (value.includes('\0') || !isLatin1(value)) {
    throw unwritable(`variable ${name} cannot have the value ${JSON.stringify(value)}`);
  }
}

/** `variables` with `changes` put where those names stand, and at the end where they stood nowhere. */
export function withVariables(
  variables: readonly UbootVariable[],
  changes: readonly UbootVariable[],
): readonly UbootVariable[] {
  return [...new Map([...variables, ...changes])];
}

/**
 * Reads a default environment in text, a `name=value` in each line, as U-Boot's build leaves it and fw_setenv takes it
 * (`/etc/u-boot-initial-env`). Throws `boot-env-corrupt`.
 */
export function parseInitialEnvironment(text: string): readonly UbootVariable[] {
  const variables = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const match = /^([^=\0]+)=([^\0]*)$/.exec(line);
    if (match === null) throw corrupt(`line ${index + 1} of the default environment is no variable`);
    const value = Buffer.from(match[2] ?? '', 'utf8').toString('latin1');
    if (value !== '') variables.set(match[1] ?? '', value);
  }
  return [...variables];
}
