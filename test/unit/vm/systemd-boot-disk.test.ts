import { describe, expect, it } from 'vitest';
import { readSystemdBootState, readUkiState } from '../../vm/systemd-boot-disk.ts';

function stateOf(...files: readonly string[]) {
  return readSystemdBootState(
    files,
    async (file) => `title x\nversion 3\nlinux /kaon/${file[5] ?? ''}/kernel\noptions ro\n`,
    async (path) => `digest of ${path}`,
  );
}

describe('the state of systemd-boot, read from outside', () => {
  it('boots a slot by an entry without a counter, and no slot without an entry', async () => {
    expect(await stateOf('kaon-a.conf', 'kaon-b.conf.staged', 'other.conf')).toEqual({
      trial: undefined,
      canBoot: { a: true, b: false },
      payloads: { a: 'digest of kaon/a/kernel' },
      text: 'kaon-a.conf (version 3, linux /kaon/a/kernel)',
    });
  });

  it('has a trial while an entry has a counter, which boots while it has tries', async () => {
    expect(await stateOf('kaon-a.conf', 'kaon-b+1-1.conf')).toMatchObject({
      trial: 'b',
      canBoot: { a: true, b: true },
      payloads: { b: 'digest of kaon/b/kernel' },
    });
    expect(await stateOf('kaon-a.conf', 'kaon-b+0-2.conf')).toMatchObject({
      trial: 'b',
      canBoot: { a: true, b: false },
    });
  });
});

describe('the state of systemd-boot with images in EFI/Linux, read from outside', () => {
  const ukiStateOf = (...files: readonly string[]) =>
    readUkiState(files, async (file) => `digest of ${file.slice(0, 6)}`);

  it('boots a slot by an image without a counter, and has a trial while there is one with a counter', async () => {
    expect(await ukiStateOf('kaon-a.efi', 'kaon-b+1-1.efi', 'kaon-b.efi.tmp', 'other.efi')).toEqual({
      trial: 'b',
      canBoot: { a: true, b: true },
      payloads: { a: 'digest of kaon-a', b: 'digest of kaon-b' },
      text: 'kaon-a.efi, kaon-b+1-1.efi',
    });
  });

  it('knows a copy that stands behind from a trial that is used up', async () => {
    expect(await ukiStateOf('kaon-a.1+0.efi', 'kaon-a.2+0-1.efi', 'kaon-b+0-2.efi')).toMatchObject({
      trial: 'b',
      canBoot: { a: true, b: false },
    });
  });

  it('tells images of one slot that differ', async () => {
    const state = await readUkiState(['kaon-b+1.efi', 'kaon-b.efi'], async (file) => file);
    expect(state.payloads).toEqual({ b: 'images that differ' });
  });
});
