import { describe, expect, it } from 'vitest';
import { formatEntry } from '../../../bootloader/bls-entry.ts';
import { formatSlotEntry } from '../../../bootloader/slot-entry.ts';
import { SystemdBootBootloader } from '../../../bootloader/systemd-boot.ts';
import { PowerLossDirectory } from '../../fakes/power-loss-directory.ts';

const entry = {
  title: 'edge 2',
  start: { role: 'kernel', path: 'kaon/b/kernel-0-1' },
  initrds: ['kaon/b/initrd-1-2', 'kaon/b/initrd-2-3'],
  devicetree: 'kaon/b/devicetree-3-4',
  options: 'quiet root=PARTUUID=1 kaon.slot=B',
} as const;
const textOf = (...args: Parameters<typeof formatSlotEntry>) =>
  Buffer.from(formatEntry(formatSlotEntry(...args))).toString();

const files = {
  'kaon/a/kernel': 'kernel a',
  'kaon/b/kernel-0-1': 'kernel b',
  'kaon/b/initrd-1-2': 'microcode',
  'kaon/b/initrd-2-3': 'initrd',
  'kaon/b/devicetree-3-4': 'tree',
  'loader/entries/kaon-a.conf': 'linux /kaon/a/kernel\noptions root=a\n',
};

describe('the entry of a slot', () => {
  it('names kernel, initrds in their order, device tree and options', () => {
    expect(textOf(entry)).toBe(
      'title edge 2\nlinux /kaon/b/kernel-0-1\ninitrd /kaon/b/initrd-1-2\ninitrd /kaon/b/initrd-2-3\n' +
        'devicetree /kaon/b/devicetree-3-4\noptions quiet root=PARTUUID=1 kaon.slot=B\n',
    );
  });

  it('starts a unified kernel image as a program', () => {
    const start = { role: 'uki', path: 'kaon/b/uki-0-1.efi' } as const;
    expect(textOf({ ...entry, start, initrds: [], devicetree: undefined, options: '' })).toBe(
      'title edge 2\nefi /kaon/b/uki-0-1.efi\n',
    );
  });

  it('has no line that a title brought along', () => {
    expect(textOf({ ...entry, title: 'edge\nefi /evil.efi' })).toMatch(/^title edge\?efi \/evil\.efi\nlinux /);
  });
});

describe('staging an entry', () => {
  it('lists nothing, and is what activation then lists', async () => {
    const partition = new PowerLossDirectory(files);
    const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
    await loader.stageEntry('b', entry);
    await loader.stageEntry('b', entry);
    expect((await loader.readStatus()).slots.b.state).toBe('bad');
    expect(partition.textOf('loader/entries/kaon-b.conf.staged')).toBe(textOf(entry));
    await loader.activate('b', 3);
    expect(partition.textOf('loader/entries/kaon-b+3.conf')).toContain(textOf(entry));
  });

  it('takes the place of the entry that an earlier image left', async () => {
    const partition = new PowerLossDirectory({
      ...files,
      'loader/entries/kaon-b.conf': 'linux /kaon/b/old\n',
      'kaon/b/old': 'x',
    });
    const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
    await loader.markBad('b');
    await loader.stageEntry('b', entry);
    await loader.activate('b', 3);
    expect(partition.paths.filter((path) => path.includes('kaon-b'))).toEqual([
      'loader/entries/kaon-b+3.conf',
      'loader/entries/kaon-b.conf.staged',
    ]);
    expect(partition.textOf('loader/entries/kaon-b+3.conf')).toContain('linux /kaon/b/kernel-0-1');
  });

  it.each(Object.keys(files).filter((path) => path.startsWith('kaon/b/')))(
    'refuses an entry without its %s',
    async (missing) => {
      const partition = new PowerLossDirectory(files);
      partition.drop(missing);
      const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
      await expect(loader.stageEntry('b', entry)).rejects.toMatchObject({ code: 'boot-payload-missing' });
      await expect(loader.activate('b', 3)).rejects.toMatchObject({ code: 'boot-payload-missing' });
    },
  );

  it('leaves a slot alone that may boot', async () => {
    const partition = new PowerLossDirectory(files);
    const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
    await expect(loader.stageEntry('a', entry)).rejects.toMatchObject({ code: 'bootloader-unsupported' });
    await loader.stageEntry('b', entry);
    await loader.activate('b', 3);
    await expect(loader.stageEntry('b', entry)).rejects.toMatchObject({ code: 'bootloader-unsupported' });
  });
});
