import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeGreenboot, withoutCounter, withSuccess } from '../../../bootloader/greenboot.ts';
import { GrubBootloader } from '../../../bootloader/grub.ts';
import { decodeEnvironment, type Variable } from '../../../bootloader/grubenv.ts';
import { PowerLossFile, type SectorFate } from '../../fakes/power-loss-file.ts';

const layout = { dialect: 'kaon', bootNames: { a: 'A', b: 'B' }, tries: 4 } as const;
const golden = readFileSync(join(import.meta.dirname, 'fixtures/greenboot.bin'));

function nodeOf(block: Uint8Array) {
  const file = new PowerLossFile(block);
  return { file, loader: new GrubBootloader(file, undefined, layout) };
}

function variables(file: PowerLossFile): Readonly<Record<string, string>> {
  return Object.fromEntries(decodeEnvironment(file.disk));
}

/**
 * What greenboot's grub.cfg (grub2-greenboot's 08_greenboot) does at a boot, in short: the entry that it starts, and the
 * variables as it leaves them.
 */
function bootGreenboot(values: Readonly<Record<string, string>>) {
  const counter = values['boot_counter'] ?? '';
  const isCounting = counter !== '' && values['boot_success'] === '0';
  const isOver = counter === '0' || counter === '-1';
  const next = isCounting ? { boot_counter: isOver ? '-1' : String(Number(counter) - 1) } : {};
  return { entry: isCounting && isOver ? 1 : 0, values: { ...values, ...next, boot_success: '0' } };
}

describe('greenboot’s variables', () => {
  it('are read as grub-editenv writes them', () => {
    expect(describeGreenboot(decodeEnvironment(golden))).toContain('boot_counter=2, boot_success=0');
    expect(describeGreenboot([['boot_success', '1']])).toContain('its counter is not set');
    expect(describeGreenboot([['saved_entry', '0']])).toBeUndefined();
  });

  it('are told in the status of the loader, and only where they are', async () => {
    expect((await nodeOf(golden).loader.readStatus()).notes).toEqual([expect.stringContaining('boot_counter=2')]);
    const without = readFileSync(join(import.meta.dirname, 'fixtures/filled.bin'));
    expect((await nodeOf(without).loader.readStatus()).notes).toBeUndefined();
  });

  it('no longer count once a trial is armed, and nothing behind them moves', async () => {
    const { file, loader } = nodeOf(golden);
    await loader.activate('b', 3);
    expect(variables(file)).toEqual({
      ...Object.fromEntries(decodeEnvironment(golden)),
      ORDER: 'B A',
      A_LEFT: '4',
      B_OK: '1',
      B_LEFT: '3',
      kaon_trial: 'B',
      kaon_tries: '3',
      boot_counter: undefined,
      kaon_cleared: '2',
    });
    const at = (bytes: Uint8Array) => Buffer.from(bytes).indexOf('kernelopts=');
    expect(at(file.disk)).toBe(at(golden));
    let values = variables(file);
    for (let boots = 0; boots < 6; boots += 1) {
      const booted = bootGreenboot(values);
      expect(booted.entry).toBe(0);
      values = booted.values;
    }
  });

  it('are what its script wants of a good boot once the slot is marked good', async () => {
    const { file, loader } = nodeOf(golden);
    await loader.markGood('a');
    expect(variables(file)).toMatchObject({ boot_success: '1', kaon_cleared: '2' });
    expect(variables(file)).not.toHaveProperty('boot_counter');
    const block = file.disk;
    await loader.markGood('a');
    expect(file.disk).toEqual(block);
  });

  it('would have led a trial into another entry, were they left', () => {
    let values: Readonly<Record<string, string>> = Object.fromEntries(decodeEnvironment(golden));
    const entries: number[] = [];
    for (let boots = 0; boots < 4; boots += 1) {
      const booted = bootGreenboot(values);
      entries.push(booted.entry);
      values = booted.values;
    }
    expect(entries).toEqual([0, 0, 1, 1]);
  });

  it('stay as they are when a slot is marked bad', async () => {
    const { file, loader } = nodeOf(golden);
    await loader.markBad('b');
    expect(variables(file)).toMatchObject({ boot_counter: '2', boot_success: '0' });
  });

  it.each(['lost', 'written'] as const)('never tear what is behind them, with the second sector %s', async (fate) => {
    const { file, loader } = nodeOf(golden);
    file.sync = async () => Promise.reject(new Error('power lost'));
    await expect(loader.activate('b', 3)).rejects.toThrow('power lost');
    const fates: readonly SectorFate[] = fate === 'lost' ? ['written', 'lost'] : ['lost', 'written'];
    file.losePower((sector) => fates[sector] ?? 'lost');
    expect(variables(file)['kernelopts']).toBe(Object.fromEntries(decodeEnvironment(golden))['kernelopts']);
  });

  it('are cleared again after greenboot armed again, as often as there are names', () => {
    let block: readonly Variable[] = [['boot_success', '0']];
    for (let round = 0; round < 10; round += 1) {
      block = withoutCounter([...block, ['boot_counter', '3']]);
      expect(block.some(([name]) => name === 'boot_counter')).toBe(false);
    }
    expect(new Set(block.map(([name]) => name)).size).toBe(block.length);
    const full: readonly Variable[] = [...block, ['boot_counter', '3']];
    expect(withoutCounter(full)).toEqual(full);
    // Then its own switch is what keeps it from counting the next boot.
    expect(withSuccess(full)).toContainEqual(['boot_success', '1']);
  });
});
