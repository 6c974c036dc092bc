import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { EntryName } from '../../bootloader/bls-entry.ts';
import { MountedBootDirectory } from '../../bootloader/mounted-directory.ts';
import { SystemdBootBootloader } from '../../bootloader/systemd-boot.ts';
import { ukiOwnerOf } from '../../bootloader/systemd-boot-uki-state.ts';
import { SystemdBootUkis } from '../../bootloader/systemd-boot-ukis.ts';
import { readMenu } from '../../bootloader/systemd-boot-menu.ts';
import { slotOf, sortMenu } from '../../bootloader/systemd-boot-state.ts';
import { compareVersions } from '../../bootloader/version-order.ts';
import { RealSystemdBoot } from './real-systemd-boot.ts';

const run = promisify(execFile);
const nodes: RealSystemdBoot[] = [];
const bootsMs = 240_000;

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.remove()));
});

function entryText(slot: string): string {
  return `title Node\nefi /kaon-${slot}/vmlinuz\n`;
}

/** Slot a is listed and proven, slot b is staged. */
async function newNode() {
  const node = await RealSystemdBoot.make();
  nodes.push(node);
  await node.put('loader/loader.conf', 'timeout 0\n');
  await node.put('loader/entries/kaon-a.conf', entryText('a'));
  await node.put('loader/entries/kaon-b.conf.staged', entryText('b'));
  const directory = new MountedBootDirectory(node.esp, join(node.esp, '../lock'));
  return { node, directory, loader: new SystemdBootBootloader(directory, { entryPrefix: 'kaon' }) };
}

describe('systemd-boot itself and kaon', () => {
  it('count a trial, fall back, and never boot a bad slot', { timeout: bootsMs }, async () => {
    const { node, loader } = await newNode();
    await loader.activate('b', 2);
    expect(await node.boot()).toBe('b');
    expect(await node.names()).toEqual(['kaon-a.conf', 'kaon-b+1-1.conf', 'kaon-b.conf.staged']);
    expect(await node.boot()).toBe('b');
    expect(await loader.readStatus()).toMatchObject({
      primary: 'a',
      trial: 'b',
      trialTries: 2,
      slots: { b: { triesLeft: 0 } },
    });
    expect(await node.boot()).toBe('a');
    await loader.markBad('b');
    expect(await node.boot()).toBe('a');
  });

  it('keep a proven slot, and go back to an older one', { timeout: bootsMs }, async () => {
    const { node, loader } = await newNode();
    await loader.activate('b', 1);
    expect(await node.boot()).toBe('b');
    await loader.markGood('b');
    expect(await node.boot()).toBe('b');
    await loader.activate('a', 9);
    expect(await node.boot()).toBe('a');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'a', slots: { a: { triesLeft: 8 } } });
    await loader.markGood('b');
    expect(await node.boot()).toBe('b');
  });

  it(
    'agree that a default for one slot beats its counter, and one for both does not',
    { timeout: bootsMs },
    async () => {
      const { node, loader } = await newNode();
      // Neither is listed: one was torn before its `efi`, the other one's file is gone.
      await node.put('loader/entries/torn.conf', 'title Torn\nsort-key aaa\n');
      await node.put('loader/entries/gone.conf', 'title Gone\nsort-key aaa\nefi /gone/vmlinuz\n');
      await loader.activate('b', 1);
      expect(await node.boot()).toBe('b');
      for (const [pattern, slot] of [
        ['kaon-b*', 'b'],
        ['kaon-*', 'a'],
      ]) {
        await node.put('loader/loader.conf', `timeout 0\ndefault ${pattern ?? ''}\n`);
        expect((await loader.readStatus()).primary, pattern).toBe(slot);
        expect(await node.boot(), pattern).toBe(slot);
      }
    },
  );
});

describe('bootctl and kaon', () => {
  it('agree on ids, versions, counters and order of what kaon wrote, other entries among them', async () => {
    const { node, directory, loader } = await newNode();
    await node.put('loader/entries/rescue.conf', 'title Rescue\nversion 99\nefi /kaon-a/vmlinuz\n');
    await node.put('loader/entries/zz10.conf', 'sort-key zz\nversion 6.1.0-9\nefi /kaon-a/vmlinuz\n');
    await node.put('loader/entries/zz9.conf', 'sort-key zz\nversion 6.1.0-10\nefi /kaon-a/vmlinuz\n');
    await node.put('loader/entries/kaon-c.conf.tmp', 'efi /kaon-a/vmlinuz\n');
    const states = [
      () => loader.activate('b', 3),
      () => loader.markGood('b'),
      () => loader.activate('a', 1),
      () => loader.markGood('a'),
      () => loader.markBad('b'),
    ];
    for (const change of states) {
      await change();
      const ownerOf = (name: EntryName) => ({ slot: slotOf('kaon', name) });
      const places = { directory, esp: undefined, variables: undefined, ownerOf };
      const ours = sortMenu((await readMenu(places)).entries).map(({ name, entry }) => ({
        id: `${name.id}.conf`,
        version: entry.lines.find(({ key }) => key === 'version')?.value,
        triesLeft: name.counter?.left,
        triesDone: name.counter?.done,
      }));
      const told = (await node.bootctlList()).map(({ id, version, triesLeft, triesDone }) => ({
        id,
        version,
        triesLeft,
        // It leaves out a zero.
        triesDone: triesLeft === undefined ? undefined : (triesDone ?? 0),
      }));
      expect(told).toEqual(ours);
      expect(told[0]?.id).toBe(`kaon-${(await loader.readStatus()).primary ?? ''}.conf`);
    }
  });
});

describe('systemd-bless-boot and kaon', () => {
  it('come to the same name, whoever is first', async () => {
    const { node, loader } = await newNode();
    await loader.activate('b', 3);
    const armed = await node.read('kaon-b+3.conf');
    expect(await node.bless('loader/entries/kaon-b+3.conf', 'status')).toBe('indeterminate');
    await node.bless('loader/entries/kaon-b+3.conf', 'good');
    expect(await node.names()).toEqual(['kaon-a.conf', 'kaon-b.conf', 'kaon-b.conf.staged']);
    await loader.markGood('b');
    expect(await node.read('kaon-b.conf')).toBe(armed);
    // It runs after kaon, too, and finds nothing left to do.
    await node.bless('loader/entries/kaon-b+3.conf', 'good');
    expect(await node.bless('loader/entries/kaon-b+3.conf', 'status')).toBe('good');
    expect(await node.names()).toEqual(['kaon-a.conf', 'kaon-b.conf', 'kaon-b.conf.staged']);
  });

  it('agree that a slot it calls bad is a trial without tries', async () => {
    const { node, loader } = await newNode();
    await loader.activate('b', 3);
    await node.bless('loader/entries/kaon-b+3.conf', 'bad');
    expect(await node.names()).toContain('kaon-b+0.conf');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
  });
});

/** Slot a is a proven image in EFI/Linux, slot b a staged one, with these versions. */
async function newUkiNode(versionOfA: string, versionOfB: string) {
  const node = await RealSystemdBoot.make();
  nodes.push(node);
  await node.put('loader/loader.conf', 'timeout 0\n');
  await node.putImage('EFI/Linux/kaon-a.efi', 'a', releaseOf(versionOfA));
  await node.putImage('kaon/b/staged.efi', 'b', releaseOf(versionOfB));
  const directory = new MountedBootDirectory(node.esp, join(node.esp, '../lock'));
  const images = () => node.names('EFI/Linux');
  return { node, directory, images, loader: new SystemdBootUkis(directory, { entryPrefix: 'kaon' }) };
}

function releaseOf(version: string): string {
  return `PRETTY_NAME="Edge ${version}"\nID=debian\nIMAGE_ID=edge\nVERSION_ID=99\nIMAGE_VERSION=${version}\n`;
}

describe('systemd-boot itself and kaon, with images in EFI/Linux', () => {
  it('count a trial of a newer image, and fall back', { timeout: bootsMs }, async () => {
    const { node, loader, images } = await newUkiNode('2.9', '2.10');
    await loader.activate('b', 1);
    expect(await node.boot()).toBe('b');
    expect(await images()).toEqual(['kaon-a.efi', 'kaon-b+0-1.efi']);
    expect(await node.boot()).toBe('a');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
  });

  it('count a trial of an older image, and fall back to the newer one', { timeout: bootsMs }, async () => {
    const { node, loader, images } = await newUkiNode('2.10', '2.9');
    await loader.activate('b', 2);
    expect(await node.boot()).toBe('b');
    expect(await images()).toEqual(['kaon-a.1+0.efi', 'kaon-a.2+0.efi', 'kaon-b+1-1.efi']);
    expect(await node.boot()).toBe('b');
    expect(await node.boot()).toBe('a');
    expect(await images()).toEqual(['kaon-a.1+0.efi', 'kaon-a.2+0-1.efi', 'kaon-b+0-2.efi']);
    await loader.repair('a', false);
    expect(await images()).toEqual(['kaon-a.efi', 'kaon-b+0-2.efi']);
    expect(await node.boot()).toBe('a');
  });

  it('keep an older image that was proven, and go forward again', { timeout: bootsMs }, async () => {
    const { node, loader, images } = await newUkiNode('2.10', '2.9');
    await loader.activate('b', 1);
    expect(await node.boot()).toBe('b');
    await loader.markGood('b');
    expect(await node.boot()).toBe('b');
    expect(await images()).toEqual(['kaon-a.2+0.efi', 'kaon-b.efi']);
    await loader.activate('a', 9);
    expect(await node.boot()).toBe('a');
    expect(await images()).toEqual(['kaon-a+8-1.efi', 'kaon-b.efi']);
  });
});

describe('bootctl and kaon, with images in EFI/Linux', () => {
  it('agree on versions, counters and order, other images and entries among them', async () => {
    const { node, directory, loader } = await newUkiNode('2.10', '2.9');
    await node.put('loader/entries/zz.conf', 'sort-key edge\nversion 2.9.5\nefi /kaon-a/vmlinuz\n');
    await node.putImage('EFI/Linux/other.efi', 'a', 'ID=zebra\nVERSION_ID="12"\nVERSION="12 (bookworm)"\n');
    await node.putImage('EFI/Linux/plain.efi', 'a', 'NAME=Plain\nBUILD_ID=3\n');
    const states = [
      () => loader.markGood('a'),
      () => loader.activate('b', 3).catch(() => loader.markGood('a')),
      () => node.drop('loader/entries/zz.conf'),
      () => loader.activate('b', 3),
      () => loader.markGood('b'),
      () => loader.activate('a', 1),
      () => loader.markBad('a'),
    ];
    for (const change of states) {
      await change();
      const ownerOf = (name: EntryName) => ukiOwnerOf('kaon', name);
      const { entries } = await readMenu({ directory, esp: undefined, variables: undefined, ownerOf });
      const ours = sortMenu(entries).map(({ name, entry }) => ({
        id: `${name.id}${name.suffix}`,
        version: entry.lines.find(({ key }) => key === 'version')?.value,
        sortKey: entry.lines.find(({ key }) => key === 'sort-key')?.value,
        triesLeft: name.counter?.left,
        triesDone: name.counter?.done,
      }));
      const told = (await node.bootctlList()).map(({ id, version, sortKey, triesLeft, triesDone }) => ({
        ...{ id, version, sortKey, triesLeft },
        // It leaves out a zero.
        triesDone: triesLeft === undefined ? undefined : (triesDone ?? 0),
      }));
      expect(told).toEqual(ours);
      const { primary } = await loader.readStatus();
      if (primary !== undefined) expect(told[0]?.id).toMatch(new RegExp(`^kaon-${primary}`));
    }
  });
});

describe('systemd-bless-boot and kaon, with images in EFI/Linux', () => {
  it('come to the same name, and leave a fallback good that stood behind', async () => {
    const { node, loader, images } = await newUkiNode('2.9', '2.10');
    await loader.activate('b', 3);
    await node.bless('EFI/Linux/kaon-b+3.efi', 'good');
    expect(await images()).toEqual(['kaon-a.efi', 'kaon-b.efi']);
    await loader.markGood('b');
    expect(await images()).toEqual(['kaon-a.efi', 'kaon-b.efi']);
    await loader.activate('a', 3);
    expect(await images()).toEqual(['kaon-a+3.efi', 'kaon-b.1+0.efi', 'kaon-b.2+0.efi']);
    await node.bless('EFI/Linux/kaon-b.2+0.efi', 'good');
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', isUntidy: true, slots: { b: { state: 'good' } } });
    await loader.repair('b', false);
    expect(await images()).toEqual(['kaon-a+3.efi', 'kaon-b.efi']);
  });
});

describe('systemd-analyze and kaon', () => {
  it('order versions alike', async () => {
    const versions = [
      '~',
      '1~rc1',
      '1',
      '9',
      '10',
      '123-a',
      '123-1',
      '123^post1',
      '123.a-1',
      '123.1-1',
      '123a-1',
      '00124',
      'abc',
      '1_2',
    ];
    for (const first of versions) {
      for (const second of versions) {
        const { stdout } = await run('systemd-analyze', ['compare-versions', first, second]).catch(
          // It exits with 11 and 12 where they differ.
          (error: unknown) => error as { readonly stdout: string },
        );
        const told = stdout.split(' ').at(-2);
        const sign = Math.sign(compareVersions(first, second));
        expect(told, `${first} against ${second}`).toBe(sign < 0 ? '<' : sign > 0 ? '>' : '==');
      }
    }
  });
});
