import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeLogEntry, decodeLogHead, headBytes } from '../../vm/block-log.ts';
import { readFlushes } from '../../vm/recorded-writes.ts';

/*
 * What QEMU 7.2's blklogwrites wrote, log-sector-size 512, for these commands of its monitor:
 *   qemu-io d0 "write -P 0x41 4096 1024"
 *   qemu-io d0 "flush"
 *   qemu-io d0 "write -f -P 0x42 8192 512"
 *   qemu-io d0 "write -z 16384 1024"
 *   qemu-io d0 "flush"
 *   qemu-io d0 "write -P 0x43 0 512"
 *   quit
 */
const golden = gunzipSync(
  Buffer.from(
    'H4sIAAAAAAACA+3WsQ1AYBgE0O/XUBrBKthFRElhfQWVFe695ga45HLnft3bdVSrV/9ldUWAQd3RZiDWfw+aSYwy6j3aQrTJ/wfA' +
      'D9Q7UVai2YFsDwLo9PwAHAAA',
    'base64',
  ),
);

const head = { entries: 7, sectorBytes: 512 };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-block-log-'));
});

afterEach(() => rm(folder, { recursive: true }));

async function flushesOf(log: Uint8Array) {
  const path = join(folder, 'log');
  await writeFile(path, log);
  const found = [];
  for await (const { writes, isFlushed } of readFlushes(path)) {
    const texts = writes.map(async ({ offsetBytes, sizeBytes, read }) => {
      const bytes = await read();
      return `${offsetBytes}+${sizeBytes} ${[...new Set(bytes)].join()}`;
    });
    found.push({ writes: await Promise.all(texts), isFlushed });
  }
  return found;
}

describe('a log of writes', () => {
  it('reads what QEMU wrote, flush by flush', async () => {
    expect(decodeLogHead(golden)).toEqual(head);
    expect(await flushesOf(golden)).toEqual([
      { writes: ['4096+1024 65'], isFlushed: true },
      { writes: ['8192+512 66', '16384+1024 0'], isFlushed: true },
      { writes: ['0+512 67'], isFlushed: true },
    ]);
  });

  it('gives what was never flushed as such', async () => {
    const cut = Buffer.from(golden);
    cut.writeBigUInt64LE(6n, 16);
    expect((await flushesOf(cut)).at(-1)).toEqual({ writes: ['0+512 67'], isFlushed: false });
  });

  it('is empty where the machine wrote nothing', async () => {
    expect(await flushesOf(Buffer.alloc(0))).toEqual([]);
  });

  it('knows discards, marks and forced writes', () => {
    const entry = (flags: bigint) => {
      const bytes = Buffer.alloc(headBytes);
      bytes.writeBigUInt64LE(8n, 0);
      bytes.writeBigUInt64LE(2n, 8);
      bytes.writeBigUInt64LE(flags, 16);
      return decodeLogEntry(bytes, 1024, head);
    };
    expect(entry(4n)).toMatchObject({ kind: 'discard', offsetBytes: 4096, sizeBytes: 1024, nextAt: 1536 });
    expect(entry(8n)).toMatchObject({ kind: 'mark', nextAt: 1536 });
    expect(entry(2n)).toMatchObject({ kind: 'write', isForced: true, flushesFirst: false, dataAt: 1536, nextAt: 2560 });
    expect(entry(3n)).toMatchObject({ kind: 'write', isForced: true, flushesFirst: true });
  });

  it('refuses what is no log, naming the field', () => {
    expect(() => decodeLogHead(Buffer.alloc(headBytes))).toThrow('its magic is wrong');
    expect(() => decodeLogHead(golden.subarray(0, headBytes - 1))).toThrow('the head is cut short');
    const other = Buffer.from(golden);
    other.writeUInt32LE(500, 24);
    expect(() => decodeLogHead(other)).toThrow('its sectors have 500 bytes');
    other.writeBigUInt64LE(2n, 8);
    expect(() => decodeLogHead(other)).toThrow('its version is not 1');
    expect(() => decodeLogEntry(golden.subarray(0, 31), 512, head)).toThrow('the entry at 512 is cut short');
    expect(() => decodeLogEntry(Buffer.alloc(headBytes, 0xff), 512, head)).toThrow('first sector of the entry at 512');
  });
});
