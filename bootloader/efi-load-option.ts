/**
 * A boot entry as firmware and efibootmgr write it: an EFI_LOAD_OPTION (see `efi-variables.ts`) with the device path
 *
 *     HD(number,GPT,guid,start,size)   4, 1, 42 as u16, number u32, start u64, size u64 in blocks of the disk,
 *                                      GUID as the partition table stores it, 2 (GPT), 2 (the signature is a GUID)
 *     File(path)                       4, 4, length as u16, path with backslashes, UTF-16 with a NUL at its end
 *     End                              0x7f, 0xff, 4 as u16
 *
 * (UEFI specification, "Hard Drive Media Device Path" and "File Path Media Device Path").
 */

/** Where firmware finds a loader. */
export interface LoaderPlace {
  /** The partition's number on its disk, from 1. */
  readonly number: number;
  /** In logical blocks of the disk. */
  readonly startBlock: bigint;
  readonly blockCount: bigint;
  /** As text. */
  readonly guid: string;
  /** Below the root of the partition, with slashes. */
  readonly path: string;
}

/** The data of an active entry. */
export function encodeLoadOption(description: string, place: LoaderPlace): Uint8Array {
  const head = Buffer.alloc(6);
  const devicePath = Buffer.concat([hardDrive(place), file(place.path), Buffer.of(0x7f, 0xff, 4, 0)]);
  head.writeUInt32LE(1, 0);
  head.writeUInt16LE(devicePath.byteLength, 4);
  return Buffer.concat([head, Buffer.from(`${description}\0`, 'utf16le'), devicePath]);
}

function hardDrive({ number, startBlock, blockCount, guid }: LoaderPlace): Buffer {
  const node = Buffer.alloc(42);
  node.set([4, 1, 42, 0]);
  node.writeUInt32LE(number, 4);
  node.writeBigUInt64LE(startBlock, 8);
  node.writeBigUInt64LE(blockCount, 16);
  node.set(guidBytes(guid), 24);
  node.set([2, 2], 40);
  return node;
}

function file(path: string): Buffer {
  const name = Buffer.from(`${path.replace(/^\/*/, '/').replaceAll('/', '\\')}\0`, 'utf16le');
  const head = Buffer.of(4, 4, 0, 0);
  head.writeUInt16LE(4 + name.byteLength, 2);
  return Buffer.concat([head, name]);
}

function guidBytes(guid: string): Buffer {
  const [first = '', second = '', third = '', ...rest] = guid.split('-');
  const reversed = [first, second, third].map((text) => Buffer.from(text, 'hex').reverse());
  return Buffer.concat([...reversed, Buffer.from(rest.join(''), 'hex')]);
}
