import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { decodeCopy, encodeCopy } from '../../bootloader/ubootenv.ts';
import { bootUboot } from '../fakes/uboot-firmware.ts';
import { bootRealUboot, type RealUbootBoot } from './real-uboot.ts';

type Values = Readonly<Record<string, string>>;

const run = promisify(execFile);
const scripts = join(import.meta.dirname, '../../bootloader/scripts');
const timeout = 90_000;

function simulate(rules: 'kaon' | 'bootcount', variables: Values, cannotSave = false) {
  const before = encodeCopy(Object.entries(variables), 4096, undefined);
  const { started, copies } = bootUboot({ rules, names: ['A', 'B'], full: 3, cannotSave }, [before]);
  return { started, variables: Object.fromEntries(decodeCopy(copies[0] ?? before, false).variables) };
}

/** Boots again and again until something starts, as the board does after the script's own reset. */
async function bootThrough(variables: Values, resets: number): Promise<RealUbootBoot & { readonly after: Values }> {
  const boot = await bootRealUboot({ script: 'boot.cmd', variables, bootable: ['A', 'B'] });
  const after = boot.saved ?? variables;
  return boot.begun.length === 0 && resets > 0 && boot.saved !== undefined
    ? bootThrough(after, resets - 1)
    : { ...boot, after };
}

const sound = { BOOT_ORDER: 'A', BOOT_A_LEFT: '3', BOOT_B_LEFT: '0', kaon_trial: '-', kaon_tries: '0' };
const trial = { ...sound, BOOT_ORDER: 'B A', BOOT_B_LEFT: '4', kaon_trial: 'B', kaon_tries: '4' };

const cases: readonly (readonly [string, Values])[] = [
  ['a proven slot', sound],
  ['a proven slot, used up', { ...sound, BOOT_A_LEFT: '0' }],
  ['a trial with fifteen tries', { ...trial, BOOT_B_LEFT: 'f' }],
  ['a trial with ten tries', { ...trial, BOOT_B_LEFT: 'a' }],
  ['a trial with one try', { ...trial, BOOT_B_LEFT: '1' }],
  ['a trial that is used up', { ...trial, BOOT_B_LEFT: '0' }],
  ['nothing left but a used-up trial', { ...trial, BOOT_A_LEFT: '0', BOOT_B_LEFT: '0' }],
  ['two proven slots, used up', { ...sound, BOOT_ORDER: 'B A', BOOT_A_LEFT: '0' }],
  ['a counter that is no digit', { ...trial, BOOT_B_LEFT: '1f' }],
];

describe('boot.cmd, run by U-Boot itself', () => {
  it.each(cases)('does with %s what the simulation does', { timeout }, async (_name, variables) => {
    const expected = simulate('kaon', variables);
    const real = await bootThrough(variables, 1);
    expect(real.begun, real.console).toEqual([expected.started]);
    expect(real.after).toEqual(expected.variables);
  });

  it('hands the kernel its slot, its trial, its initrd and its device tree', { timeout }, async () => {
    const real = await bootRealUboot({ script: 'boot.cmd', variables: trial, bootable: ['B'] });
    expect(real.bootargs, real.console).toMatch(/^root=PARTLABEL=slot-b kaon\.slot=B kaon\.trial=B ro quiet panic=10$/);
    expect(real.console).toContain('linux,initrd-start');
    expect(real.console).toMatch(/Flattened Device Tree blob at 43000000/);
  });

  it('resets when the slot has no kernel, with the try counted', { timeout }, async () => {
    const real = await bootRealUboot({ script: 'boot.cmd', variables: trial, bootable: ['A'] });
    expect(real.begun).toEqual(['B']);
    expect(real.saved).toMatchObject({ BOOT_B_LEFT: '3' });
    expect(real.console).toContain('resetting ...');
  });

  it.each([
    ['a trial', trial],
    ['a proven slot', sound],
    ['no boots left', { ...trial, BOOT_A_LEFT: '0', BOOT_B_LEFT: '0' }],
  ])('boots what is proven when it cannot save, with %s', { timeout }, async (_name, variables) => {
    const real = await bootRealUboot({ script: 'boot.cmd', variables, bootable: ['A', 'B'], canSave: false });
    expect(real.begun, real.console).toEqual([simulate('kaon', variables, true).started]);
    expect(real.bootargs).toContain('kaon.slot=A');
  });

  it('takes the slots as they come without an environment, and saves nothing', { timeout }, async () => {
    const real = await bootRealUboot({ script: 'boot.cmd', variables: {}, bootable: ['B'] });
    expect(real.begun, real.console).toEqual(['A', 'B']);
    expect(real.bootargs).toContain('kaon.slot=B');
    expect(real.saved).toBeUndefined();
  });

  it('leaves the boot to a recovery when there is nothing to boot', { timeout }, async () => {
    const variables = { ...trial, BOOT_ORDER: 'B', BOOT_B_LEFT: '0' };
    const real = await bootRealUboot({ script: 'boot.cmd', variables, bootable: ['A', 'B'] });
    expect(simulate('kaon', variables).started).toBe('rescue');
    expect(real.begun, real.console).toEqual([]);
    expect(real.console).toContain('kaon: recovery');
  });
});

const fileBytes = 0x1000;

function environmentFile(variables: Values, sequence: string): Buffer {
  const entries = Object.entries({ ...variables, kaon_sequence: sequence });
  return Buffer.from(encodeCopy(entries, fileBytes, undefined));
}

function torn(file: Buffer): Buffer {
  const bytes = Buffer.from(file);
  bytes.fill(0, 16, 512);
  return bytes;
}

/** What the simulation makes of two files, and what U-Boot itself makes of them, booted through its script's resets. */
async function bothOfFiles(files: readonly [Buffer, Buffer]) {
  const script = { rules: 'kaon', names: ['A', 'B'], full: 3, hasFiles: true } as const;
  const simulated = bootUboot(script, files);
  let real = await bootRealUboot({ script: 'boot.cmd', variables: {}, bootable: ['A', 'B'], files });
  const [first, second] = real.files;
  if (real.begun.length === 0 && first !== undefined && second !== undefined) {
    real = await bootRealUboot({ script: 'boot.cmd', variables: {}, bootable: ['A', 'B'], files: [first, second] });
  }
  return { simulated, real };
}

const stale = { ...sound, BOOT_A_LEFT: '1' };

describe('boot.cmd over two environment files, run by U-Boot itself', () => {
  it.each<readonly [string, readonly [Buffer, Buffer]]>([
    ['the second file newer', [environmentFile(stale, '9'), environmentFile(trial, 'a')]],
    ['the first file newer', [environmentFile(trial, '100'), environmentFile(stale, 'ff')]],
    ['a sequence that grows by a digit', [environmentFile(stale, 'e'), environmentFile(trial, 'f')]],
    ['a sequence near its end', [environmentFile(stale, '7ffffffd'), environmentFile(trial, '7ffffffe')]],
    ['both files as new', [environmentFile(trial, '5'), environmentFile(stale, '5')]],
    ['the newer file torn', [environmentFile(sound, '4'), torn(environmentFile(trial, '5'))]],
    ['the older file torn', [torn(environmentFile(sound, '4')), environmentFile(trial, '5')]],
    ['a newer file without its number', [environmentFile(trial, '4'), environmentFile(sound, '')]],
    ['both files torn', [torn(environmentFile(sound, '4')), torn(environmentFile(trial, '5'))]],
    ['no boots left', [environmentFile(sound, '1'), environmentFile({ ...sound, BOOT_A_LEFT: '0' }, '2')]],
    ['a used-up trial', [environmentFile(sound, '1'), environmentFile({ ...trial, BOOT_B_LEFT: '0' }, '2')]],
  ])('does with %s what the simulation does, byte by byte', { timeout }, async (_name, files) => {
    const { simulated, real } = await bothOfFiles(files);
    expect(real.begun[0], real.console).toBe(simulated.started);
    expect(real.files).toEqual(simulated.copies.map((copy) => Buffer.from(copy)));
  });

  it('makes a file anew that is lost or too short', { timeout }, async () => {
    const newest = environmentFile(trial, '5');
    for (const lost of [undefined, newest.subarray(0, 512)]) {
      const files = [lost, newest] as const;
      const real = await bootRealUboot({ script: 'boot.cmd', variables: {}, bootable: ['B'], files });
      expect(real.begun, real.console).toEqual(['B']);
      const [first] = real.files;
      expect(Object.fromEntries(decodeCopy(first ?? Buffer.alloc(0), false).variables)).toEqual({
        ...trial,
        BOOT_B_LEFT: '3',
        kaon_sequence: '6',
      });
    }
  });

  it('boots what is proven when it cannot write', { timeout }, async () => {
    const files = [environmentFile(sound, '1'), environmentFile(trial, '2')] as const;
    const real = await bootRealUboot({
      script: 'boot.cmd',
      variables: {},
      bootable: ['A', 'B'],
      files,
      canSave: false,
    });
    expect(real.bootargs, real.console).toContain('kaon.slot=A');
    expect(real.files).toEqual(files);
  });

  it('takes nothing but its own variables out of them, and nothing of U-Boot’s own', { timeout }, async () => {
    const hostile = { ...trial, kernel_addr_r: '0', bootcmd: 'reset', bootargs: 'x' };
    const files = [environmentFile(sound, '1'), environmentFile(hostile, '2')] as const;
    const real = await bootRealUboot({ script: 'boot.cmd', variables: sound, bootable: ['B'], files });
    expect(real.begun, real.console).toEqual(['B']);
    expect(real.saved).toBeUndefined();
    const [first] = real.files;
    expect(Object.fromEntries(decodeCopy(first ?? Buffer.alloc(0), false).variables)).toEqual({
      ...trial,
      BOOT_B_LEFT: '3',
      kaon_sequence: '3',
    });
  });

  it('forgets what U-Boot’s own environment says when there is no valid file', { timeout }, async () => {
    const files = [undefined, undefined] as const;
    const real = await bootRealUboot({ script: 'boot.cmd', variables: trial, bootable: ['B'], files });
    expect(real.begun, real.console).toEqual(['A', 'B']);
    expect(real.files).toEqual(files);
  });
});

const counting = {
  boot_slot: 'B',
  upgrade_available: '1',
  bootcount: '0',
  bootlimit: '4',
  kaon_proven: 'A',
  kaon_trial: 'B',
};

describe('bootcount.cmd, run by U-Boot itself after U-Boot counted', () => {
  it.each<readonly [string, Values]>([
    ['a trial', counting],
    ['the last try', { ...counting, bootcount: '3' }],
    ['a trial above its limit', { ...counting, bootcount: '4' }],
    ['a trial above a limit of two digits', { ...counting, bootcount: '10', bootlimit: '10' }],
    ['a trial that nobody counts', { ...counting, upgrade_available: '0' }],
    ['a proven slot', { ...counting, boot_slot: 'A', upgrade_available: '0' }],
  ])('does with %s what the simulation does', { timeout }, async (_name, variables) => {
    const expected = simulate('bootcount', variables);
    const isCounted = variables.upgrade_available === '1';
    // This U-Boot is built without the counter: its step is done for it.
    const counted = { ...variables, ...(isCounted ? { bootcount: String(Number(variables.bootcount) + 1) } : {}) };
    const real = await bootRealUboot({ script: 'bootcount.cmd', variables: counted, bootable: ['A', 'B'] });
    expect(real.begun, real.console).toEqual([expected.started]);
    expect(real.saved ?? counted).toEqual(expected.variables);
  });
});

describe('mkimage', () => {
  it.each(['boot.cmd', 'bootcount.cmd'])('takes %s', async (name) => {
    const folder = await mkdtemp(join(tmpdir(), 'kaon-mkimage-'));
    try {
      const scr = join(folder, 'boot.scr');
      await run('mkimage', ['-A', 'arm64', '-T', 'script', '-C', 'none', '-d', join(scripts, name), scr]);
      expect((await run('mkimage', ['-l', scr])).stdout).toContain('Script');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
