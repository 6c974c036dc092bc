import { describe, expect, it } from 'vitest';
import { EfiBootloader } from '../../../bootloader/efi-boot.ts';
import { kaonGuid } from '../../../bootloader/efi-variables.ts';
import { EfiFirmware } from '../../fakes/efi-firmware.ts';

const guid = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
const labels = { a: 'slot A', b: 'slot B' };

function newNode(order: readonly number[] = [1, 0x2001, 2]) {
  const writes: string[] = [];
  const firmware = new EfiFirmware((name) => void writes.push(name));
  firmware.addEntry(1, 'slot A');
  firmware.addEntry(2, 'slot B');
  firmware.addEntry(0x2001, 'USB');
  const set = (name: string, ...numbers: readonly number[]) => {
    const data = Buffer.alloc(numbers.length * 2);
    numbers.forEach((number, index) => data.writeUInt16LE(number, index * 2));
    return firmware.write(name, guid, Buffer.concat([Buffer.of(7, 0, 0, 0), data]));
  };
  const get = async (name: string) => {
    const bytes = await firmware.read(name, guid);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString('hex');
  };
  return { firmware, writes, set, get, ready: set('BootOrder', ...order), loader: new EfiBootloader(firmware, labels) };
}

/** Loses the order of the entries. */
async function loseOrder(firmware: EfiFirmware): Promise<void> {
  await firmware.remove('BootOrder', guid);
}

describe('EFI by BootNext and BootOrder', () => {
  it('keeps entries that are not ours in their order', async () => {
    const { loader, get, ready } = newNode([0x2001, 1, 0x2002, 2]);
    await ready;
    await loader.markBad('b');
    expect(await get('BootOrder')).toBe('07000000' + '0100' + '0120' + '0220');
    await loader.activate('b', 1);
    await loader.markGood('b');
    expect(await get('BootOrder')).toBe('07000000' + '0200' + '0100' + '0120' + '0220');
  });

  it('arms by BootNext, once the order leads back, and then notes that it did', async () => {
    const { loader, writes, get, ready } = newNode();
    await ready;
    writes.length = 0;
    await loader.activate('b', 1);
    expect(writes).toEqual(['KaonTrial-write', 'BootOrder-write', 'BootNext-write', 'KaonTrial-write']);
    expect(await get('BootNext')).toBe('07000000' + '0200');
  });

  it('writes nothing that is there already: the memory wears out', async () => {
    const { loader, writes, ready } = newNode();
    await ready;
    await loader.activate('b', 1);
    writes.length = 0;
    await loader.activate('b', 1);
    await loader.readStatus();
    expect(writes).toEqual([]);
    for (let boots = 0; boots < 3; boots += 1) await loader.markGood('a');
    expect(writes).toEqual(['BootNext-remove']);
  });

  it('does not take a slot for tried when the power went before BootNext was set', async () => {
    const { loader, firmware, ready } = newNode();
    await ready;
    const write = firmware.write.bind(firmware);
    firmware.write = async (name, ...rest) =>
      name === 'BootNext' ? Promise.reject(new Error('power lost')) : write(name, ...rest);
    await expect(loader.activate('b', 1)).rejects.toThrow('power lost');
    firmware.write = write;
    expect(firmware.boot()).toBe('slot A');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 1 } } });
    await loader.activate('b', 1);
    expect(firmware.boot()).toBe('slot B');
    expect(await loader.readStatus()).toMatchObject({ trial: 'b', slots: { b: { triesLeft: 0 } } });
    expect(firmware.boot()).toBe('slot A');
    expect(await loader.readStatus()).toMatchObject({ trial: 'b', slots: { b: { triesLeft: 0 } } });
  });

  it('takes a slot for tried that runs though the power went before that was noted', async () => {
    const { loader, firmware, ready } = newNode();
    await ready;
    await loader.activate('b', 1);
    const trial = Buffer.from((await firmware.read('KaonTrial', kaonGuid)) ?? []);
    trial[5] = 1;
    await firmware.write('KaonTrial', kaonGuid, trial);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', slots: { b: { triesLeft: 1 } } });
    expect(firmware.boot()).toBe('slot B');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
    await loader.markGood('b');
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', trial: undefined });
  });

  it('takes a BootNext of other tools for a trial, unless the slot is proven', async () => {
    const { loader, set, ready } = newNode([1]);
    await ready;
    await set('BootNext', 2);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', trial: 'b', slots: { b: { triesLeft: 1 } } });
    await set('BootOrder', 1, 2);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: undefined,
      slots: { b: { state: 'good' } },
    });
    await set('BootNext', 0x2001);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a' });
  });

  it('finds the slots again when the firmware numbers its entries anew', async () => {
    const { loader, firmware, set, ready } = newNode();
    await ready;
    firmware.addEntry(1, 'PXE');
    firmware.addEntry(0x30, 'slot A');
    await set('BootOrder', 1, 0x30);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', slots: { b: { state: 'bad' } } });
  });

  it('ends a trial that was killed half way in its commit by the commit alone', async () => {
    const { loader, firmware, ready } = newNode();
    await ready;
    await loader.activate('b', 1);
    firmware.boot();
    const remove = firmware.remove.bind(firmware);
    firmware.remove = async () => Promise.reject(new Error('killed'));
    await expect(loader.markGood('b')).rejects.toThrow('killed');
    firmware.remove = remove;
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: undefined,
      slots: { b: { state: 'good' } },
    });
  });

  it.each([
    ['marked bad', (loader: EfiBootloader) => loader.markBad('b')],
    ['passed over by marking the other one good', (loader: EfiBootloader) => loader.markGood('a')],
  ])('does not boot an armed slot that was %s before the reboot', async (_name, disarm) => {
    const { loader, firmware, get, ready } = newNode();
    await ready;
    await loader.activate('b', 1);
    await disarm(loader);
    expect(await get('BootNext')).toBeUndefined();
    expect((await loader.readStatus()).primary).toBe('a');
    expect(firmware.boot()).toBe('slot A');
  });

  it('tells firmware that takes a write and does not keep it', async () => {
    const { loader, firmware, ready } = newNode();
    await ready;
    firmware.write = async () => undefined;
    await expect(loader.activate('b', 1)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
  });

  it.each([
    ['BootOrder is missing', 'BootOrder', undefined],
    ['BootOrder is cut short', 'BootOrder', Buffer.of(7, 0, 0, 0, 1)],
    ['BootOrder has no attributes', 'BootOrder', Buffer.of(7)],
    ['BootNext is no number', 'BootNext', Buffer.of(7, 0, 0, 0)],
  ])('repairs from the slot that runs when %s', async (_name, name, bytes) => {
    const { loader, firmware, ready } = newNode();
    await ready;
    if (bytes === undefined) await firmware.remove(name, guid);
    else await firmware.write(name, guid, bytes);
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    expect(await loader.repair('b', false)).toBe(true);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', trial: undefined, slots: { a: { state: 'bad' } } });
    expect(firmware.boot()).toBe('slot B');
    expect(await loader.repair('b', false)).toBe(false);
  });

  it('keeps foreign entries in a repair where they can be read', async () => {
    const { loader, set, get, ready } = newNode([0x2001, 1]);
    await ready;
    await set('BootNext');
    expect(await loader.repair('a', true)).toBe(true);
    expect(await get('BootOrder')).toBe('07000000' + '0100' + '0200' + '0120');
  });

  it('finds a slot by the name of its entry, too', async () => {
    const { firmware, ready } = newNode();
    await ready;
    firmware.addEntry(3, 'slot B');
    const loader = new EfiBootloader(firmware, { a: 'slot A', b: 'Boot0003' });
    await loader.activate('b', 1);
    expect(firmware.boot()).toBe('slot B');
    expect(await loader.readStatus()).toMatchObject({ trial: 'b', slots: { b: { triesLeft: 0 } } });
    const missing = new EfiBootloader(firmware, { a: 'slot A', b: 'Boot0004' });
    await expect(missing.activate('b', 1)).rejects.toMatchObject({
      code: 'boot-entry-missing',
      details: { slot: 'b', wanted: 'Boot0004' },
    });
  });

  it.each([
    ['missing', (firmware: EfiFirmware) => firmware.remove('Boot0001', guid)],
    ['switched off', async (firmware: EfiFirmware) => firmware.addEntry(1, 'slot A', false)],
    ['there twice', async (firmware: EfiFirmware) => firmware.addEntry(3, 'slot A')],
  ])('marks the slot that runs good though the entry of the other one is %s', async (_what, damage) => {
    const { firmware, loader, get, ready } = newNode([1, 0x2001]);
    await ready;
    await loader.activate('b', 1);
    expect(firmware.boot()).toBe('slot B');
    await damage(firmware);
    expect(await loader.readStatus()).toMatchObject({
      trial: 'b',
      slots: { a: { state: 'bad' }, b: { state: 'trial' } },
      notes: [expect.stringContaining('boot entry of slot a')],
    });
    await expect(loader.markBad('b')).rejects.toMatchObject({ code: 'boot-fallback-missing' });
    await loader.markGood('b');
    expect(await get('BootOrder')).toMatch(/^070000000200/);
    await expect(loader.activate('a', 1)).rejects.toMatchObject({ code: 'boot-entry-missing' });
    await expect(loader.markGood('a')).rejects.toMatchObject({ code: 'boot-entry-missing' });
    await loseOrder(firmware);
    expect(await loader.repair('b', true)).toBe(true);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', slots: { b: { state: 'good' } } });
    await expect(loseOrder(firmware).then(() => loader.repair('a', true))).rejects.toMatchObject({
      code: 'boot-entry-missing',
    });
  });

  it('refuses slots of which neither has an entry, and the same entry for both', async () => {
    const { firmware, loader, ready } = newNode();
    await ready;
    await firmware.remove('Boot0001', guid);
    await firmware.remove('Boot0002', guid);
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-entry-missing' });
    expect(() => new EfiBootloader(firmware, { a: 'x', b: 'x' })).toThrow(
      expect.objectContaining({ code: 'bootloader-unsupported' }),
    );
  });

  it('is not held up by a broken entry of somebody else’s', async () => {
    const { firmware, loader, ready } = newNode();
    await ready;
    await firmware.write('Boot0007', guid, Buffer.of(7));
    await firmware.write('Boot0008', guid, Buffer.alloc(20, 1));
    expect((await loader.readStatus()).primary).toBe('a');
  });
});
