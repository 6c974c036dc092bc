import { describe, expect, it } from 'vitest';
import { readSystemdBootState } from '../../vm/systemd-boot-disk.ts';

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
