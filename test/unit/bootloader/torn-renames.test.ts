import { describe, expect, it } from 'vitest';
import { SystemdBootBootloader } from '../../../bootloader/systemd-boot.ts';
import { SystemdBootUkis } from '../../../bootloader/systemd-boot-ukis.ts';
import { PowerLossDirectory } from '../../fakes/power-loss-directory.ts';
import { sampleUki } from '../../fakes/sample-uki.ts';
import { bootSystemdBoot } from '../../fakes/systemd-boot-firmware.ts';
import { eachPowerLoss } from './each-power-loss.ts';

function image(version: string): string {
  return sampleUki({ '.osrel': `ID=edge\nIMAGE_VERSION=${version}\n`, '.linux': 'k' }).toString('latin1');
}

function ukiNode(files: Readonly<Record<string, string>>, beforeStep?: () => void) {
  const partition = new PowerLossDirectory(files, beforeStep);
  const names = () => partition.paths.filter((path) => path.startsWith('EFI/Linux/')).map((path) => path.slice(10));
  return { partition, names, loader: new SystemdBootUkis(partition, { entryPrefix: 'kaon' }) };
}

const path = (name: string) => (name.includes('/') ? name : `EFI/Linux/${name}`);

/** Has one of the names end as FAT shows it whose long name is gone. */
function tear(partition: PowerLossDirectory, long: string, short: string): void {
  partition.put(path(short), partition.textOf(path(long)));
  partition.drop(path(long));
}

describe('an image whose name was torn', () => {
  it.each([
    ['in a trial that runs', 'b', false, { 'kaon-a.efi': '1', 'KAON-B~1.EFI': '2' }, ['kaon-a.efi', 'kaon-b+0-1.efi']],
    [
      'in a trial of the other slot',
      'a',
      false,
      { 'kaon-a.efi': '2', 'KAON-B~1.EFI': '1' },
      ['kaon-a.efi', 'kaon-b+0-1.efi'],
    ],
    [
      'beside the name of before',
      'b',
      false,
      { 'kaon-a.efi': '1', 'KAON-B~1.EFI': '2', 'kaon-b+2-1.efi': '2' },
      ['kaon-a.efi', 'kaon-b+2-1.efi'],
    ],
    [
      'beside the proven one',
      'a',
      false,
      { 'KAON-A~1.EFI': '1', 'kaon-a.efi': '1', 'kaon-b+3.efi': '2' },
      ['kaon-a.efi', 'kaon-b+3.efi'],
    ],
    [
      'beside a copy that stands behind',
      'a',
      false,
      { 'KAON-A~1.EFI': '2', 'kaon-a.2+0.efi': '2', 'kaon-b+3.efi': '1' },
      ['kaon-a.2+0.efi', 'kaon-b+3.efi'],
    ],
    [
      'twice',
      'a',
      false,
      { 'kaon-a.efi': '3', 'KAON-B~1.EFI': '2', 'KAON-B~2.EFI': '2' },
      ['kaon-a.efi', 'kaon-b+0-1.efi'],
    ],
    [
      'as the only one that boots',
      'a',
      false,
      { 'KAON-A~1.EFI': '2', 'kaon-b+0-3.efi': '1' },
      ['kaon-a.efi', 'kaon-b+0-3.efi'],
    ],
    [
      'in the slot that is known to be good',
      'b',
      true,
      { 'KAON-A~1.EFI': '1', 'kaon-b+1-2.efi': '2' },
      ['kaon-a.efi', 'kaon-b+1-2.efi'],
    ],
    [
      'with another’s beside it',
      'a',
      false,
      { 'kaon-a.efi': '3', 'MYOWN-~1.EFI': '1' },
      ['MYOWN-~1.EFI', 'kaon-a.efi'],
    ],
  ] as const)(
    '%s ends in order, after power was lost anywhere in it',
    async (_name, booted, isOtherGood, versions, wanted) => {
      const files = Object.fromEntries(Object.entries(versions).map(([name, version]) => [path(name), image(version)]));
      const cuts = eachPowerLoss({
        fateCount: 16,
        makeNode: (beforeStep) => ukiNode(files, beforeStep),
        act: ({ loader }) => loader.repair(booted, isOtherGood),
      });
      for await (const { node, isDone, where } of cuts) {
        const { loader, names, partition } = node;
        expect(
          bootSystemdBoot(
            new PowerLossDirectory(Object.fromEntries(partition.paths.map((each) => [each, partition.textOf(each)]))),
          ),
          where,
        ).toBeDefined();
        await loader.repair(booted, isOtherGood);
        const isLost =
          !isDone &&
          !names().some((name) => /^kaon-b\+0-1/.test(name)) &&
          wanted.some((name) => name === 'kaon-b+0-1.efi');
        // A trial's only name can be lost in its rename: the update writes that slot again.
        expect(names(), where).toEqual(isLost ? ['kaon-a.efi'] : wanted);
        expect((await loader.readStatus()).isUntidy, where).toBeUndefined();
        expect(await loader.repair(booted, isOtherGood), where).toBe(false);
      }
    },
  );

  it('has the status ask for repair, and calls the slot neither good nor one with tries', async () => {
    const { loader } = ukiNode({ 'EFI/Linux/kaon-a.efi': image('1'), 'EFI/Linux/KAON-B~1.EFI': image('2') });
    // The loader starts it by its version, and counts nothing.
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: 'b',
      slots: { a: { state: 'good' }, b: { state: 'trial', triesLeft: 0 } },
      isUntidy: true,
    });
    await expect(loader.markBad('a')).rejects.toMatchObject({ code: 'boot-fallback-missing' });
  });

  it('runs its trial out with the boot that it is found in, and can still be proven', async () => {
    for (const isProven of [true, false]) {
      const { loader, partition, names } = ukiNode({
        'EFI/Linux/kaon-a.efi': image('1'),
        'kaon/b/staged.efi': image('2'),
      });
      await loader.activate('b', 3);
      tear(partition, 'kaon-b+3.efi', 'KAON-B~1.EFI');
      expect(bootSystemdBoot(partition)).toBe('kaon-b~1');
      await loader.repair('b', false);
      if (isProven) await loader.markGood('b');
      expect(bootSystemdBoot(partition)).toBe(isProven ? 'kaon-b' : 'kaon-a');
      expect(names()).toEqual(['kaon-a.efi', isProven ? 'kaon-b.efi' : 'kaon-b+0-1.efi']);
    }
  });

  it('is armed again, or marked bad, as it is', async () => {
    const torn = { 'EFI/Linux/kaon-a.efi': image('1'), 'EFI/Linux/KAON-B~1.EFI': image('2') };
    const armed = ukiNode(torn);
    await armed.loader.activate('b', 2);
    expect(armed.names()).toEqual(['kaon-a.efi', 'kaon-b+2.efi']);
    const bad = ukiNode(torn);
    await bad.loader.markBad('b');
    expect(bad.names()).toEqual(['kaon-a.efi']);
    expect(bad.partition.paths).toContain('kaon/b/staged.efi');
  });

  it('is named with the check that it needs where its slot can’t be told and it stands first', async () => {
    const { loader } = ukiNode({
      'EFI/Linux/kaon-a.efi': image('1'),
      'EFI/Linux/KA1F3C~1.EFI': image('9'),
      'kaon/b/staged.efi': image('2'),
    });
    await expect(loader.activate('b', 2)).rejects.toMatchObject({
      code: 'bootloader-unsupported',
      message: expect.stringMatching(/KA1F3C~1\.EFI stands before it.*fsck\.vfat/) as string,
    });
  });
});

describe('an entry whose name was torn', () => {
  const entryOf = (slot: string) => `sort-key kaon\nversion 4\nlinux /kaon-${slot}/vmlinuz\n`;

  it.each(['KAON-A~1.CON', 'KAON-A~1.STA'])(
    'gives the booted slot its entry again where it is all there is: %s',
    async (short) => {
      const partition = new PowerLossDirectory({
        'kaon-a/vmlinuz': 'k',
        'kaon-b/vmlinuz': 'k',
        [`loader/entries/${short}`]: entryOf('a'),
        'loader/entries/kaon-b+0-3.conf': entryOf('b'),
      });
      const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
      expect((await loader.readStatus()).isUntidy).toBe(true);
      expect(await loader.repair('a', false)).toBe(true);
      expect(bootSystemdBoot(partition)).toBe('kaon-a');
      expect(partition.textOf('loader/entries/kaon-a.conf')).toContain('linux /kaon-a/vmlinuz\n');
      expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { a: { state: 'good' } } });
    },
  );

  it('does not make a template of one that names no file to start', async () => {
    const partition = new PowerLossDirectory({ 'loader/entries/KAON-A~1.CON': 'linux /kaon-a/vm' });
    const loader = new SystemdBootBootloader(partition, { entryPrefix: 'kaon' });
    await expect(loader.repair('a', false)).rejects.toMatchObject({ code: 'boot-payload-missing' });
  });
});
