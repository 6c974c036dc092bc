import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EfiBootloader } from '../../../bootloader/efi-boot.ts';
import { encodeLoadOption } from '../../../bootloader/efi-load-option.ts';
import { type LoaderPlaces, SysfsLoaderPlaces } from '../../../bootloader/efi-places.ts';
import { parseLoadOption } from '../../../bootloader/efi-variables.ts';
import { BootloaderError } from '../../../bootloader/errors.ts';
import { EfiFirmware } from '../../fakes/efi-firmware.ts';

const guid = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
const labels = { a: 'kaon A', b: 'kaon B' };
const place = {
  number: 2,
  startBlock: 4096n,
  blockCount: 2048n,
  guid: 'a0b1c2d3-e4f5-4607-8809-0a0b0c0d0e0f',
  path: '/EFI/kaon/b.efi',
};
/** As efibootmgr 17 writes it: `-C -d DISK -p 2 -L "kaon B" -l \\EFI\\kaon\\b.efi` on a GPT of sgdisk's. */
const golden =
  '0100000052006b0061006f006e0020004200000004012a000200000000100000000000000008000000000000d3c2b1a0f5e4074688090a0b0c0d0e0f0202040424005c004500460049005c006b0061006f006e005c0062002e0065006600690000007fff0400';

const known: LoaderPlaces = { placeOf: async (slot) => ({ ...place, path: `/EFI/kaon/${slot}.efi` }) };
const lackingA: LoaderPlaces = {
  placeOf: async (slot) => {
    if (slot === 'b') return place;
    throw new BootloaderError('boot-entry-missing', 'cannot make the boot entry of slot a again: the start is unknown');
  },
};

async function nodeWith(order: readonly number[], places: LoaderPlaces | undefined = known) {
  let stepsLeft = Number.POSITIVE_INFINITY;
  const firmware = new EfiFirmware(() => {
    if (stepsLeft-- <= 0) throw new Error('the power goes');
  });
  firmware.addEntry(1, labels.a);
  firmware.addEntry(2, labels.b);
  firmware.addEntry(0x2001, 'USB');
  const data = order.flatMap((number) => [number & 0xff, number >> 8]);
  await firmware.write('BootOrder', guid, Uint8Array.of(7, 0, 0, 0, ...data));
  const lose = async (...names: readonly string[]) => {
    for (const name of names) await firmware.remove(name, guid);
  };
  const orderNow = async () => {
    const bytes = Buffer.from((await firmware.read('BootOrder', guid)) ?? []).subarray(4);
    return Array.from({ length: bytes.byteLength / 2 }, (_, index) => bytes.readUInt16LE(index * 2));
  };
  const cutAfter = (count: number) => void (stepsLeft = count);
  return { firmware, lose, orderNow, cutAfter, loader: new EfiBootloader(firmware, labels, places) };
}

it('encodes an entry as efibootmgr does', () => {
  const bytes = encodeLoadOption('kaon B', place);
  expect(Buffer.from(bytes).toString('hex')).toBe(golden);
  expect(parseLoadOption(bytes)).toMatchObject({ isActive: true, description: 'kaon B' });
});

describe('an entry that the firmware lost', () => {
  it('is made again where the other slot is known to be good, behind the booted one', async () => {
    const { firmware, loader, lose, orderNow } = await nodeWith([1, 2, 0x2001]);
    await lose('Boot0002');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', isUntidy: true, slots: { b: { state: 'bad' } } });
    expect(await loader.repair('a', true)).toBe(true);
    // 2 is still in the order, and may be the number of anything by now.
    expect(await orderNow()).toEqual([1, 0, 2, 0x2001]);
    expect(Buffer.from((await firmware.read('Boot0000', guid)) ?? []).toString('hex')).toBe(`07000000${golden}`);
    const status = await loader.readStatus();
    expect(status).toMatchObject({ primary: 'a', slots: { a: { state: 'good' }, b: { state: 'good' } } });
    expect(status.isUntidy).toBeUndefined();
    expect(await loader.repair('a', true)).toBe(false);
    await loader.activate('b', 1);
    expect(firmware.boot()).toBe('kaon B');
  });

  it('does not make a slot good that is not known to be', async () => {
    // 0 is left of some entry that is no more: were it slot b's number, the order would call that proven.
    const { loader, lose, orderNow } = await nodeWith([1, 0, 0x2001]);
    await lose('Boot0002');
    await loader.repair('a', false);
    expect(await orderNow()).toEqual([1, 0, 0x2001]);
    const { slots, notes } = await loader.readStatus();
    expect(slots.b.state).toBe('bad');
    expect(notes).toBeUndefined();
  });

  it('is first again where its slot runs and was proven', async () => {
    const { firmware, loader, lose, orderNow } = await nodeWith([1, 2, 0x2001]);
    await lose('Boot0001');
    await loader.repair('a', true);
    expect(await orderNow()).toEqual([0, 1, 2, 0x2001]);
    expect(firmware.boot()).toBe('kaon A');
  });

  it('leaves its slot in the trial that it is in', async () => {
    const { firmware, loader, lose } = await nodeWith([1, 0x2001]);
    await loader.activate('b', 1);
    expect(firmware.boot()).toBe('kaon B');
    await lose('Boot0002');
    await loader.repair('b', true);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
    await loader.markGood('b');
    expect(firmware.boot()).toBe('kaon B');
  });

  it('is the fallback of a trial again', async () => {
    const { firmware, loader, lose } = await nodeWith([1, 0x2001]);
    await loader.activate('b', 1);
    expect(firmware.boot()).toBe('kaon B');
    await lose('Boot0001');
    await loader.repair('b', true);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b' });
    await loader.markBad('b');
    expect(firmware.boot()).toBe('kaon A');
  });

  it.each([
    ['one entry', ['Boot0001'], [0x2001, 2]],
    ['both entries', ['Boot0001', 'Boot0002'], [0x2001]],
    ['all that was set', ['Boot0001', 'Boot0002', 'Boot2001', 'BootOrder'], [1, 2]],
  ])(
    'is there again, with the booted slot first, after %s went and power was lost anywhere',
    async (_what, lost, before) => {
      for (let cut = 0, isDone = false; !isDone; cut += 1) {
        const { firmware, loader, lose, cutAfter } = await nodeWith(before);
        await lose(...lost);
        cutAfter(cut);
        isDone = await loader.repair('a', true).then(
          () => true,
          () => false,
        );
        cutAfter(Number.POSITIVE_INFINITY);
        firmware.losePower();
        // As at a start: what can be read and is tidy is left alone.
        const needsRepair = await loader.readStatus().then(
          ({ isUntidy }) => isUntidy === true,
          (error: unknown) => error instanceof BootloaderError && error.code === 'boot-env-corrupt',
        );
        if (needsRepair) await loader.repair('a', true);
        expect(await loader.readStatus(), `cut before step ${cut}`).toMatchObject({
          primary: 'a',
          slots: { a: { state: 'good' } },
        });
        expect((await loader.readStatus()).isUntidy).toBeUndefined();
        expect(firmware.boot(), `cut before step ${cut}`).toBe('kaon A');
      }
    },
  );

  it('is left alone where it is only switched off, or its place is not known', async () => {
    const off = await nodeWith([2]);
    off.firmware.addEntry(1, labels.a, false);
    expect(await off.loader.repair('b', true)).toBe(false);
    const unknown = await nodeWith([2], lackingA);
    await unknown.lose('Boot0001');
    expect(await unknown.loader.repair('b', true)).toBe(false);
    const status = await unknown.loader.readStatus();
    expect(status.isUntidy).toBeUndefined();
    expect(status.notes).toContain('cannot make the boot entry of slot a again: the start is unknown');
    await unknown.lose('Boot0002', 'BootOrder');
    await expect(unknown.loader.repair('a', true)).rejects.toMatchObject({ code: 'boot-entry-missing' });
    expect(await unknown.loader.repair('b', true)).toBe(true);
  });

  it('gets its own number where it is configured by that', async () => {
    const { firmware, lose } = await nodeWith([7, 2]);
    await lose('Boot0001');
    const loader = new EfiBootloader(firmware, { a: 'Boot0007', b: labels.b }, known);
    await loader.repair('b', false);
    expect(await firmware.read('Boot0007', guid)).toBeDefined();
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { a: { state: 'good' } } });
  });
});

describe('the place of a loader', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kaon-places-'));
    await mkdir(join(folder, 'devices/sda/sda2'), { recursive: true });
    await mkdir(join(folder, 'devices/sda/queue'));
    for (const name of ['by-partuuid', 'class', 'dev']) await mkdir(join(folder, name));
    await writeFile(join(folder, 'dev/sda2'), '');
    await symlink('../dev/sda2', join(folder, 'by-partuuid', place.guid));
    await symlink('../devices/sda/sda2', join(folder, 'class/sda2'));
    const files = { 'sda2/partition': '2\n', 'sda2/start': '32768\n', 'sda2/size': '16384\n' };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, 'devices/sda', name), text);
    await writeFile(join(folder, 'devices/sda/queue/logical_block_size'), '4096\n');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const places = (partition: string = place.guid) => {
    const loader = { partition, path: place.path };
    return new SysfsLoaderPlaces({ a: loader, b: loader }, join(folder, 'by-partuuid'), join(folder, 'class'));
  };

  it('is what the kernel says, in blocks of the disk', async () => {
    expect(await places().placeOf('b')).toEqual(place);
  });

  it.each([
    ['the start', 'devices/sda/sda2/start'],
    ['the size', 'devices/sda/sda2/size'],
    ['the number', 'devices/sda/sda2/partition'],
    ['the block size', 'devices/sda/queue/logical_block_size'],
    ['the device', 'class/sda2'],
  ])('lacks %s, and says so', async (fact, path) => {
    await rm(join(folder, path));
    await expect(places().placeOf('b')).rejects.toMatchObject({
      code: 'boot-entry-missing',
      details: { slot: 'b', fact, partition: place.guid },
    });
  });

  it('is not that of a partition which is not there', async () => {
    await expect(places('a0b1c2d3-e4f5-4607-8809-000000000000').placeOf('a')).rejects.toMatchObject({
      details: { slot: 'a', fact: 'the device' },
    });
  });
});
