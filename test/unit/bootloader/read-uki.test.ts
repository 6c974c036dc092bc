import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { valueOf } from '../../../bootloader/bls-entry.ts';
import { BootloaderError } from '../../../bootloader/errors.ts';
import { readUki } from '../../../bootloader/read-uki.ts';
import { parseRelease } from '../../../bootloader/uki-release.ts';
import { PowerLossDirectory } from '../../fakes/power-loss-directory.ts';
import { sampleUki } from '../../fakes/sample-uki.ts';

const path = 'EFI/Linux/edge.efi';
const golden = gunzipSync(readFileSync(join(import.meta.dirname, 'fixtures/uki.efi.gz')));

async function read(bytes: Buffer) {
  return readUki(new PowerLossDirectory({ [path]: bytes.toString('latin1') }), path);
}

/** What stands in the entry of a release: sort key, version and title. */
function keysOf(text: string) {
  const entry = parseRelease(Buffer.from(text));
  return entry && ['sort-key', 'version', 'title'].map((key) => valueOf(entry, key));
}

describe('a unified kernel image', () => {
  it('made by objcopy of systemd’s stub is read as the loader reads it', async () => {
    const uki = await read(golden);
    expect(uki?.hasProfiles).toBe(false);
    expect(uki?.entry.lines.map(({ raw }) => raw)).toEqual([
      'title Edge OS 2.10',
      'sort-key edge-gateway',
      'version 2.10.3',
    ]);
  });

  it('with several profiles is told', async () => {
    expect(await read(sampleUki({ '.osrel': 'ID=x\n', '.profile': 'ID=main\n' }))).toMatchObject({ hasProfiles: true });
  });

  it('without a release, or an empty one, is not listed', async () => {
    expect(await read(sampleUki({ '.linux': 'k' }))).toBeUndefined();
    expect(await read(sampleUki({ '.osrel': '' }))).toBeUndefined();
    expect(await read(sampleUki({ '.osrel': 'VERSION_ID=1\n' }))).toBeUndefined();
  });

  it('that is cut anywhere is not listed, or has what is left of its release', async () => {
    const lengths = [...Array(1200).keys(), 0x11400, 0x11401, 0x11420, golden.byteLength - 1];
    for (const length of lengths) {
      const uki = await read(golden.subarray(0, length));
      if (length <= 0x11400) expect(uki, `${length} bytes`).toBeUndefined();
    }
  });

  it('with any bit of its headers flipped gives nothing but a coded error', async () => {
    for (let at = 0; at < 1100; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const bytes = Buffer.from(golden);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        await read(bytes).catch((error: unknown) => {
          expect(error, `bit ${bit} of byte ${at}`).toBeInstanceOf(BootloaderError);
        });
      }
    }
  });

  it('whose release has no bounds is refused', async () => {
    await expect(read(sampleUki({ '.osrel': `ID=x\n${'#'.repeat(70_000)}` }))).rejects.toMatchObject({
      code: 'boot-env-unreadable',
    });
  });
});

describe('a release', () => {
  it.each([
    ['ID=debian\n', ['debian', undefined, 'debian']],
    ['ID=debian\nVERSION_ID="12"\nNAME=Debian\n', ['debian', '12', 'Debian']],
    ['ID=a\nIMAGE_ID=b\nIMAGE_VERSION=3\nVERSION=2\nVERSION_ID=1\n', ['b', '3', 'b']],
    ['ID=a\nVERSION_ID=1\nVERSION=2\nBUILD_ID=9\n', ['a', '2', 'a']],
    ['ID=a\nBUILD_ID=9\n', ['a', '9', 'a']],
    ['NAME=only\n', [undefined, undefined, 'only']],
    ['ID=a\nID=b\r\n# ID=c\n\tID = d\n  ID==e  \n', ['e', undefined, 'e']],
    ['ID=a\0ID=b\n', ['a', undefined, 'a']],
    ['VERSION=1\n', undefined],
    ['', undefined],
  ])('%j', (text, keys) => {
    expect(keysOf(text)).toEqual(keys);
  });
});
