import { type FileHandle, mkdir, mkdtemp, open, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MountedBootDirectory } from '../../../bootloader/mounted-directory.ts';
import { MountedPayloadDirectory } from '../../../partitions/mounted-payload-directory.ts';

let folder = '';
/** The paths that were synced, in order. */
let synced: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-sync-'));
  await mkdir(join(folder, 'esp/loader'), { recursive: true });
  synced = [];
  const handle = await open(folder, 'r');
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with a handle of its own
  const { sync } = prototype;
  vi.spyOn(prototype, 'sync').mockImplementation(async function (this: FileHandle) {
    synced.push((await readlink(`/proc/self/fd/${this.fd}`)).slice(`${folder}/esp/`.length));
    await sync.call(this);
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

// Linux gives a renamed file on FAT its cluster and its length when the file itself is synced, not its folder.
describe('a file that gets another name on the boot partition', () => {
  it.each(['rename', 'replaceByRename'] as const)('is synced under it, and then its folder (%s)', async (verb) => {
    const directory = new MountedBootDirectory(join(folder, 'esp'), join(folder, 'lock'));
    await directory.writeNew('loader/b.tmp', Buffer.from('linux /kernel'));
    await directory.sync('loader');
    synced = [];
    await directory[verb]('loader/b.tmp', 'loader/b+2.conf');
    await directory.sync('loader');
    expect(synced).toEqual(['loader/b+2.conf', 'loader']);
    synced = [];
    await directory.sync('loader');
    expect(synced).toEqual(['loader']);
  });

  it('may be taken away by another process before it was synced: its folder is', async () => {
    const directory = new MountedBootDirectory(join(folder, 'esp'), join(folder, 'lock'));
    await directory.writeNew('loader/b.tmp', Buffer.from('linux /kernel'));
    await directory.rename('loader/b.tmp', 'loader/b+2.conf');
    await rm(join(folder, 'esp/loader/b+2.conf'));
    await directory.sync('loader');
    expect(synced).toEqual(['loader']);
  });

  it('is synced under it, and then its folder (a kernel or an initrd)', async () => {
    const directory = new MountedPayloadDirectory(join(folder, 'esp'));
    await directory.write('loader/kernel.part', one());
    synced = [];
    await directory.rename('loader/kernel.part', 'loader/kernel');
    await directory.sync('loader');
    expect(synced).toEqual(['loader/kernel', 'loader']);
  });
});

async function* one(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('kernel');
}
