import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { EntryName } from '../../bootloader/bls-entry.ts';
import { MountedBootDirectory } from '../../bootloader/mounted-directory.ts';
import { SystemdBootBootloader } from '../../bootloader/systemd-boot.ts';
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
    expect(await node.bless('kaon-b+3.conf', 'status')).toBe('indeterminate');
    await node.bless('kaon-b+3.conf', 'good');
    expect(await node.names()).toEqual(['kaon-a.conf', 'kaon-b.conf', 'kaon-b.conf.staged']);
    await loader.markGood('b');
    expect(await node.read('kaon-b.conf')).toBe(armed);
    // It runs after kaon, too, and finds nothing left to do.
    await node.bless('kaon-b+3.conf', 'good');
    expect(await node.bless('kaon-b+3.conf', 'status')).toBe('good');
    expect(await node.names()).toEqual(['kaon-a.conf', 'kaon-b.conf', 'kaon-b.conf.staged']);
  });

  it('agree that a slot it calls bad is a trial without tries', async () => {
    const { node, loader } = await newNode();
    await loader.activate('b', 3);
    await node.bless('kaon-b+3.conf', 'bad');
    expect(await node.names()).toContain('kaon-b+0.conf');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
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
