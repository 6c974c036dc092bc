/**
 * EFI variables as efivarfs gives them, little-endian:
 *
 *     0  4  attributes: 1 non-volatile, 2 boot services, 4 runtime
 *     4  …  data
 *
 * BootOrder: numbers of entries, u16 each, first is tried first. BootNext: one number; the firmware deletes it before it
 * boots it. BootCurrent: the one that was booted. Boot####, the number in four hexadecimal digits, holds an EFI_LOAD_OPTION:
 *
 *     0  4  attributes: 1 active          then  description, UTF-16 with a NUL at its end
 *     4  2  bytes of the device path      then  device path, optional data
 *
 * KaonTrial, under a GUID of ours, remembers the trial, since the firmware forgets it with BootNext:
 *
 *     0  1  format, 1
 *     1  1  1 until BootNext is set, then 0
 *     2  2  number of the entry in trial
 */
import { BootloaderError } from './errors.ts';

/** A variable's attributes and data. */
export interface EfiVariable {
  readonly attributes: number;
  readonly data: Uint8Array;
}

/** What a boot entry says of itself. */
export interface LoadOption {
  readonly isActive: boolean;
  readonly description: string;
  readonly devicePath: Uint8Array;
}

/** What KaonTrial remembers. */
export interface RememberedTrial {
  readonly entry: number;
  /** BootNext was about to be set: without it the entry was not tried yet. */
  readonly isArming: boolean;
}

/** The GUID of the firmware's own variables. */
export const globalGuid = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
/** The GUID of ours. */
export const kaonGuid = '5b0b1c5e-8a4f-4e0b-9d3c-6b616f6e0001';
/** Kept over a power loss, visible to the firmware and to the running system. */
export const keptAttributes = 7;

const mostEntries = 1024;
const trialFormat = 1;
const activeAttribute = 1;

function corrupt(reason: string): BootloaderError {
  return new BootloaderError('boot-env-corrupt', `cannot read the EFI variables: ${reason}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Splits a variable as efivarfs gives it. Throws `boot-env-corrupt` when it is too short. */
export function parseVariable(bytes: Uint8Array): EfiVariable {
  if (bytes.byteLength < 4) throw corrupt(`a variable has ${bytes.byteLength} bytes, want 4 or more`);
  return { attributes: viewOf(bytes).getUint32(0, true), data: bytes.slice(4) };
}

/** A variable as efivarfs takes it: in one write. */
export function encodeVariable({ attributes, data }: EfiVariable): Uint8Array {
  const bytes = new Uint8Array(4 + data.byteLength);
  viewOf(bytes).setUint32(0, attributes, true);
  bytes.set(data, 4);
  return bytes;
}

/** Reads BootOrder. Throws `boot-env-corrupt` when it is no list of entries. */
export function parseBootOrder(data: Uint8Array): readonly number[] {
  if (data.byteLength % 2 !== 0 || data.byteLength > mostEntries * 2) {
    throw corrupt(`BootOrder has ${data.byteLength} bytes`);
  }
  return Array.from({ length: data.byteLength / 2 }, (_, index) => viewOf(data).getUint16(index * 2, true));
}

/** BootOrder's data. */
export function encodeBootOrder(order: readonly number[]): Uint8Array {
  const data = new Uint8Array(order.length * 2);
  order.forEach((entry, index) => viewOf(data).setUint16(index * 2, entry, true));
  return data;
}

/** Reads BootNext or BootCurrent. Throws `boot-env-corrupt` unless it is one number. */
export function parseEntryNumber(data: Uint8Array): number {
  if (data.byteLength !== 2) throw corrupt(`the number of a boot entry has ${data.byteLength} bytes, want 2`);
  return viewOf(data).getUint16(0, true);
}

/** Reads a boot entry. Throws `boot-env-corrupt` when it is cut short. */
export function parseLoadOption(data: Uint8Array): LoadOption {
  if (data.byteLength < 8) throw corrupt(`a boot entry has ${data.byteLength} bytes, want 8 or more`);
  const view = viewOf(data);
  const pathBytes = view.getUint16(4, true);
  for (let end = 6; end + 2 <= data.byteLength; end += 2) {
    if (view.getUint16(end, true) !== 0) continue;
    const pathStart = end + 2;
    if (pathStart + pathBytes > data.byteLength) throw corrupt('the device path of a boot entry is cut short');
    return {
      isActive: (view.getUint32(0, true) & activeAttribute) !== 0,
      description: Buffer.from(data.subarray(6, end)).toString('utf16le'),
      devicePath: data.slice(pathStart, pathStart + pathBytes),
    };
  }
  throw corrupt('the description of a boot entry has no end');
}

/** The number of an entry's variable, or `undefined` for any other variable. */
export function entryNumber(name: string): number | undefined {
  return /^Boot[0-9A-F]{4}$/.test(name) ? Number.parseInt(name.slice(4), 16) : undefined;
}

/** Reads KaonTrial. Throws `boot-env-corrupt` for anything but its format. */
export function parseTrial(data: Uint8Array): RememberedTrial {
  const [format, step] = data;
  if (data.byteLength !== 4 || format !== trialFormat || (step !== 0 && step !== 1)) {
    throw corrupt('KaonTrial is not of our format');
  }
  return { entry: viewOf(data).getUint16(2, true), isArming: step === 1 };
}

/** KaonTrial's data. */
export function encodeTrial({ entry, isArming }: RememberedTrial): Uint8Array {
  return Uint8Array.of(trialFormat, isArming ? 1 : 0, entry & 0xff, entry >> 8);
}
