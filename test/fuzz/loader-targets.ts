import { readFileSync } from 'node:fs';
import { crc32, gunzipSync } from 'node:zlib';
import { parseAutoboot } from '../../bootloader/autoboot-txt.ts';
import { besidePathsOf, formatEntry, loaderPathOf, parseEntry, parseEntryName } from '../../bootloader/bls-entry.ts';
import {
  parseBootOrder,
  parseEntryNumber,
  parseLoadOption,
  parseTrial,
  parseVariable,
} from '../../bootloader/efi-variables.ts';
import { parseFwEnvConfig } from '../../bootloader/fw-env-config.ts';
import { arrayBytes, checkPlaces, listEntries, parseHeader } from '../../bootloader/gpt-codec.ts';
import { decodeEnvironment, salvageVariables } from '../../bootloader/grubenv.ts';
import { parseDosHeader, parsePeHeader, parseSectionTable } from '../../bootloader/pe-sections.ts';
import { parseBootId, parseCell } from '../../bootloader/tryboot-facts.ts';
import { decodeCopy, parseInitialEnvironment } from '../../bootloader/ubootenv.ts';
import { parseRelease } from '../../bootloader/uki-release.ts';
import { compareVersions } from '../../bootloader/version-order.ts';
import { bytesOf, type FuzzTarget, isCoded, promise, textOf } from './target.ts';

const golden = (name: string) => readFileSync(new URL(`../unit/bootloader/fixtures/${name}`, import.meta.url));

const disk = gunzipSync(golden('gpt-512.img.gz'));
const diskBlocks = disk.byteLength / 512;
const uki = gunzipSync(golden('uki.efi.gz')).subarray(0, 4096);

function mendEnvironment(dataAt: number): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const copy = Buffer.from(bytes);
    if (copy.byteLength > dataAt) copy.writeUInt32LE(crc32(copy.subarray(dataAt)), 0);
    return copy;
  };
}

function mendGpt(bytes: Uint8Array): Uint8Array {
  const block = Buffer.alloc(512);
  block.set(bytes.subarray(0, 512));
  block.writeUInt32LE(0, 16);
  block.writeUInt32LE(crc32(block.subarray(0, 92)), 16);
  return block;
}

/** Environments and entries of loaders: what a power cut, another tool or a worn card left. */
export const loaderTargets: readonly FuzzTarget[] = [
  {
    name: 'grubenv',
    seeds: ['filled.bin', 'created.bin', 'greenboot.bin'].map(golden),
    parse: (bytes) => {
      salvageVariables(bytes);
      decodeEnvironment(bytes);
    },
  },
  {
    name: 'ubootenv',
    seeds: [golden('uboot-single.bin').subarray(0, 4096)],
    mend: mendEnvironment(4),
    parse: (bytes) => decodeCopy(bytes, false),
  },
  {
    name: 'ubootenv-redundant',
    seeds: [golden('uboot-redundant.bin').subarray(0, 4096)],
    mend: mendEnvironment(5),
    parse: (bytes) => decodeCopy(bytes, true),
  },
  {
    name: 'ubootenv-text',
    seeds: [bytesOf('bootcmd=run distro\nBOOT_ORDER=A B\nempty=\n')],
    parse: (bytes) => parseInitialEnvironment(textOf(bytes)),
  },
  {
    name: 'fw-env-config',
    seeds: [bytesOf('# device offset size\n/dev/mmcblk0 0x3F8000 0x4000\n/dev/mmcblk0 -0x4000 0x4000 0x1000 2\n')],
    parse: (bytes) => parseFwEnvConfig(textOf(bytes)),
  },
  {
    name: 'gpt-header',
    seeds: [disk.subarray(512, 1024)],
    mend: mendGpt,
    parse: (bytes) => {
      const header = parseHeader(bytes, 1, diskBlocks);
      checkPlaces(header, diskBlocks);
      promise(arrayBytes(header) <= 1024 * 1024, 'a table has an end');
    },
  },
  {
    name: 'gpt-entries',
    seeds: [disk.subarray(1024, 1024 + 128 * 128)],
    parse: (bytes) => {
      const header = parseHeader(disk.subarray(512, 1024), 1, diskBlocks);
      if (bytes.byteLength === arrayBytes(header)) listEntries(header, bytes);
    },
  },
  {
    name: 'bls-entry',
    seeds: [
      bytesOf('# made by kaon\ntitle Edge\nlinux /kaon/a/linux\ninitrd /kaon/a/initrd\noptions root=/dev/sda2 quiet\n'),
    ],
    parse: (bytes) => {
      const entry = parseEntry(bytes);
      loaderPathOf(entry);
      besidePathsOf(entry);
      formatEntry(entry);
    },
  },
  {
    name: 'bls-name',
    seeds: ['kaon-a+3-1.conf', 'kaon-b.conf', 'edge_2.10+2.efi'].map(bytesOf),
    parse: (bytes) => parseEntryName(textOf(bytes)),
  },
  {
    name: 'autoboot',
    seeds: [bytesOf('[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n')],
    parse: parseAutoboot,
  },
  {
    name: 'pe-sections',
    seeds: [uki],
    parse: (bytes) => {
      const offset = parseDosHeader(bytes);
      if (offset === undefined) return;
      const table = parsePeHeader(bytes.subarray(Math.min(offset, bytes.byteLength)), offset);
      if (table === undefined) return;
      promise(table.sizeBytes <= 96 * 40, 'a table of sections has an end');
      parseSectionTable(bytes.subarray(table.offsetBytes, table.offsetBytes + table.sizeBytes));
    },
  },
  {
    name: 'uki-release',
    seeds: [bytesOf('ID=edge-os\nVERSION_ID="2.10"\nIMAGE_VERSION=2.10.3\nPRETTY_NAME="Edge \\"OS\\""\n')],
    parse: parseRelease,
  },
  {
    name: 'efi-variables',
    seeds: [
      Buffer.from('07000000010000000400410042000000aabbccdd', 'hex'),
      Buffer.from('070000000100020003000400', 'hex'),
      Buffer.from('0700000001000500', 'hex'),
    ],
    parse: (bytes) => {
      const { data } = parseVariable(bytes);
      for (const parse of [parseBootOrder, parseEntryNumber, parseTrial, parseLoadOption]) {
        skipRefusal(() => parse(data));
      }
    },
  },
  {
    name: 'tryboot-facts',
    seeds: [Buffer.from('00000002', 'hex'), bytesOf('7b0e0c3c-6f0c-4a30-9d5c-6c2b1fd1a6d0\n')],
    parse: (bytes) => {
      skipRefusal(() => parseCell(bytes));
      skipRefusal(() => parseBootId(bytes));
    },
  },
  {
    name: 'version-order',
    seeds: ['1.2.3~rc1|1.2.3', '2.10-5^git|2.9', 'a1b2|a01b2'].map(bytesOf),
    parse: (bytes) => {
      const [one = '', other = ''] = textOf(bytes).split('|');
      const [forth, back] = [compareVersions(one, other), compareVersions(other, one)];
      promise(Math.sign(forth) === -Math.sign(back) && compareVersions(one, one) === 0, 'versions have an order');
    },
  },
];

/** One of several readers of the same bytes: that it refuses them says nothing of the others. */
function skipRefusal(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!isCoded(error)) throw error;
  }
}
