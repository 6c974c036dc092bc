import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeCopy } from '../../../bootloader/ubootenv.ts';
import {
  encodeBootOrder,
  encodeTrial,
  encodeVariable,
  globalGuid,
  kaonGuid,
} from '../../../bootloader/efi-variables.ts';
import { loaderGuid } from '../../../bootloader/systemd-boot-variables.ts';

const guard = resolve('systemd-units/kaon-trial-guard');
const bootEnded = resolve('systemd-units/kaon-boot-ended');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-guard-'));
  script('systemctl', `echo "$*" >> ${path('calls')}`);
  writeFileSync(path('sysrq'), '');
  writeFileSync(path('boot_id'), 'boot-2\n');
});
afterEach(() => {
  rmSync(directory, { recursive: true });
  environmentFiles = {};
});

const path = (name: string) => join(directory, name);

function script(name: string, body: string): void {
  writeFileSync(path(name), `#!/bin/sh\n${body}\n`);
  chmodSync(path(name), 0o755);
}

/** A block as GRUB and kaon write it: 1024 bytes, filled up with #. */
function block(...lines: readonly string[]): string {
  return ['# GRUB Environment Block', ...lines, ''].join('\n').padEnd(1024, '#');
}

let environmentFiles: Readonly<Record<string, string>> = {};

type EnvironmentFile = readonly [sequence: string, trial: string, isTorn?: 'torn'];

/** Two environment files of U-Boot; each is made of its sequence and its trial, and torn if it is said to be. */
function putFiles(...files: readonly EnvironmentFile[]): void {
  for (const [index, [sequence, trial, isTorn]] of files.entries()) {
    const variables = [
      ['kaon_trial', trial],
      ['kaon_sequence', sequence],
    ] as const;
    const bytes = Buffer.from(encodeCopy(variables, 4096, undefined));
    if (isTorn === 'torn') bytes.fill(1, 512);
    writeFileSync(path(`${index}.env`), bytes);
  }
  environmentFiles = { KAON_UBOOT_FILES: `${path('0.env')} ${path('1.env')}` };
}

function runGuard(
  cmdline: string | undefined,
  environment: string | undefined,
  settings: Readonly<Record<string, string>> = {},
) {
  if (cmdline !== undefined) writeFileSync(path('cmdline'), `${cmdline}\n`);
  if (environment !== undefined) writeFileSync(path('grubenv'), environment);
  const { status, stderr } = spawnSync('/bin/sh', [guard], {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      KAON_GUARD_CMDLINE: path('cmdline'),
      KAON_GRUB_ENVIRONMENT: path('grubenv'),
      KAON_GUARD_SYSTEMCTL: path('systemctl'),
      KAON_GUARD_PRINTENV: path('fw_printenv'),
      KAON_GUARD_SYSRQ: path('sysrq'),
      KAON_GUARD_WAIT: '0',
      ...environmentFiles,
      KAON_GUARD_DEVICE_TREE: path('device-tree'),
      KAON_GUARD_EFIVARS: path('efivars'),
      KAON_GUARD_BLKID: path('blkid'),
      KAON_AUTOBOOT: path('autoboot.txt'),
      ...settings,
      KAON_GUARD_MARK: `env KAON_STATE_DIR=${directory} KAON_BOOT_ID_FILE=${path('boot_id')} ${bootEnded}`,
    },
  });
  const calls = existsSync(path('calls')) ? readFileSync(path('calls'), 'utf8').trim().split('\n') : [];
  return { status, stderr, calls };
}

const cmdline = 'BOOT_IMAGE=/vmlinuz root=/dev/vda2 kaon.slot=B quiet panic=10';
const inTrial = block('ORDER=B A', 'A_OK=1', 'B_OK=1', 'kaon_trial=B', 'kaon_tries=4');

describe('the trial guard', () => {
  it('reboots a trial, harder each time that the node is still there', () => {
    const { calls, stderr } = runGuard(cmdline, inTrial);
    expect(calls).toEqual(['reboot', 'reboot --force', 'reboot --force --force']);
    expect(readFileSync(path('sysrq'), 'utf8')).toBe('b\n');
    expect(stderr).toContain('slot B is in trial');
  });

  it('goes on to force the reboot when systemd does not answer', () => {
    script('systemctl', 'exit 1');
    runGuard(cmdline, inTrial);
    expect(readFileSync(path('sysrq'), 'utf8')).toBe('b\n');
  });

  it('leaves a mark for the evidence', () => {
    runGuard(cmdline, inTrial);
    expect(readFileSync(path('boots-ended'), 'utf8')).toBe('boot-2 trial-guard\n');
  });

  it.each([
    ['reboots a trial', 'kaon_trial=B', true],
    ['leaves a slot alone that is not in trial', 'kaon_trial=-', false],
  ])('asks U-Boot where there is no block of GRUB: %s', (_what, answer, isRebooted) => {
    script('fw_printenv', `[ "$*" = kaon_trial ] && echo ${answer}`);
    expect(runGuard(cmdline, undefined).calls.includes('reboot')).toBe(isRebooted);
    expect(runGuard(`${cmdline} kaon.trial=B`, 'damaged').calls.includes('reboot')).toBe(isRebooted);
  });

  it('believes the command line where U-Boot has no answer', () => {
    script('fw_printenv', 'exit 1');
    expect(runGuard(`${cmdline} kaon.trial=B`, undefined).calls).toContain('reboot');
    expect(runGuard(cmdline, undefined).status).toBe(1);
  });

  it.each<readonly [string, readonly EnvironmentFile[], boolean]>([
    [
      'the newer one has the trial',
      [
        ['9', '-'],
        ['a', 'B'],
      ],
      true,
    ],
    [
      'the newer one has none',
      [
        ['ff', 'B'],
        ['100', '-'],
      ],
      false,
    ],
    [
      'the newer one has none and is the first',
      [
        ['100', '-'],
        ['ff', 'B'],
      ],
      false,
    ],
    [
      'both are as new, and the first one has the trial',
      [
        ['5', 'B'],
        ['5', '-'],
      ],
      true,
    ],
    [
      'the newer one is torn',
      [
        ['1', 'B'],
        ['2', '-', 'torn'],
      ],
      true,
    ],
    [
      'the newer one is torn, and the older has none',
      [
        ['1', '-'],
        ['2', 'B', 'torn'],
      ],
      false,
    ],
    [
      'the newer one has no number',
      [
        ['1', '-'],
        ['', 'B'],
      ],
      false,
    ],
  ])('reads U-Boot’s environment files: %s', (_what, files, isRebooted) => {
    script('fw_printenv', 'echo kaon_trial=B');
    putFiles(...files);
    expect(runGuard(`${cmdline} kaon.trial=B`, undefined).calls.includes('reboot')).toBe(isRebooted);
  });

  it('believes the command line where no environment file holds', () => {
    script('fw_printenv', 'echo kaon_trial=-');
    putFiles(['1', '-', 'torn'], ['2', '-', 'torn']);
    expect(runGuard(`${cmdline} kaon.trial=B`, undefined).calls).toContain('reboot');
    rmSync(path('0.env'));
    rmSync(path('1.env'));
    expect(runGuard(cmdline, undefined).status).toBe(1);
  });

  it("knows the slot by RAUC's word, too", () => {
    expect(runGuard('rauc.slot=B quiet', inTrial).calls).toContain('reboot');
  });

  const neverRebooted: readonly (readonly [string, string | undefined, string | undefined, number])[] = [
    ['the other slot is in trial', cmdline.replace('=B', '=A'), inTrial, 0],
    ['no slot is in trial', cmdline, block('ORDER=B A', 'kaon_trial=-'), 0],
    ['a slot is in trial whose name begins alike', cmdline, block('kaon_trial=B2'), 0],
    ['the slot was marked good after a boot as a trial', `${cmdline} kaon.trial=B`, block('kaon_trial=-'), 0],
    ['another variable says so', cmdline, block('my_kaon_trial=B', 'kaon_trial=-'), 0],
    ['the command line names no slot', 'root=/dev/vda2 quiet', inTrial, 1],
    ['the command line can not be read', undefined, inTrial, 1],
    ['the environment can not be read', cmdline, undefined, 1],
    ['the environment is empty', cmdline, '', 1],
    ['the environment has no head', cmdline, 'kaon_trial=B\n', 1],
    ['the environment has no word on a trial', cmdline, block('ORDER=B A'), 1],
    ['the environment can not be read and the loader booted no trial', `${cmdline} kaon.trial=-`, undefined, 1],
    ['the environment can not be read and another slot was in trial', `${cmdline} kaon.trial=A`, undefined, 1],
  ];
  it.each(neverRebooted)('never reboots when %s', (_name, line, environment, status) => {
    const result = runGuard(line, environment);
    expect(result.calls).toEqual([]);
    expect(readFileSync(path('sysrq'), 'utf8')).toBe('');
    expect(result.status).toBe(status);
  });

  it('reboots a boot that the loader made as a trial when the environment can not be read', () => {
    expect(runGuard(`${cmdline} kaon.trial=B`, undefined).calls).toContain('reboot');
    expect(runGuard(`${cmdline} kaon.trial=B`, '\0'.repeat(1024)).calls).toContain('reboot');
  });

  it('takes no name from the command line for a pattern', () => {
    expect(runGuard('kaon.slot=* quiet', block('kaon_trial=B')).calls).toEqual([]);
  });
});

describe('the trial guard under a Raspberry Pi’s firmware', () => {
  const file = (boots: number) => `[all]\ntryboot_a_b=1\nboot_partition=${boots}\n[tryboot]\nboot_partition=3\n`;

  function run(isTryboot: number, autoboot: string | undefined, settings: Readonly<Record<string, string>> = {}) {
    mkdirSync(path('device-tree'));
    writeFileSync(path('device-tree/tryboot'), Buffer.of(0, 0, 0, isTryboot));
    writeFileSync(path('device-tree/partition'), Buffer.of(0, 0, 0, 3));
    if (autoboot !== undefined) writeFileSync(path('autoboot.txt'), autoboot);
    return runGuard('root=/dev/mmcblk0p6', undefined, settings);
  }

  it.each([
    ['reboots a trial', file(2)],
    ['reboots a trial that lost the boot partition', undefined],
    ['is not misled by the other section', '[all]\ntryboot_a_b=1\n[tryboot]\nboot_partition=3\n'],
  ])('%s', (_what, autoboot) => {
    expect(run(1, autoboot).calls).toContain('reboot');
  });

  it('leaves a trial alone that was marked good since', () => {
    expect(run(1, file(3))).toMatchObject({ calls: [], status: 0 });
  });

  it('does nothing, and fails, in a plain boot of which nothing else tells', () => {
    expect(run(0, file(3))).toMatchObject({ calls: [], status: 1 });
  });

  it('leaves a plain boot alone where it was told of the loader', () => {
    expect(run(0, file(3), { KAON_LOADER: 'tryboot' })).toMatchObject({ calls: [], status: 0 });
  });

  it('asks GRUB on a board that does not start by tryboot', () => {
    mkdirSync(path('device-tree'));
    writeFileSync(path('device-tree/tryboot'), Buffer.of(0, 0, 0, 0));
    expect(runGuard(cmdline, inTrial).calls).toContain('reboot');
  });
});

describe('the trial guard under UEFI’s own boot manager', () => {
  const variable = (name: string, bytes: Uint8Array) => {
    const guid = name === 'KaonTrial' ? kaonGuid : globalGuid;
    writeFileSync(path(`efivars/${name}-${guid}`), encodeVariable({ attributes: 7, data: bytes }));
  };

  function run(current: number, order: readonly number[], trial: number | undefined, settings = {}) {
    mkdirSync(path('efivars'));
    variable('BootCurrent', encodeBootOrder([current]));
    variable('BootOrder', encodeBootOrder(order));
    if (trial !== undefined) variable('KaonTrial', encodeTrial({ entry: trial, isArming: false }));
    return runGuard('root=/dev/sda3', undefined, settings);
  }

  it('reboots a trial', () => {
    expect(run(0x1b02, [0x0102, 0x021b], 0x1b02).calls).toContain('reboot');
  });

  it.each([
    ['the slot was marked good', 0x1b02, [0x0102, 0x1b02], 0x1b02],
    ['the trial is over and the other slot runs', 0x0102, [0x0102], 0x1b02],
  ])('never reboots when %s', (_what, current, order, trial) => {
    expect(run(current, order, trial)).toMatchObject({ calls: [], status: 0 });
  });

  it('leaves a node alone that has no trial, where it was told of the loader', () => {
    expect(run(1, [1], undefined, { KAON_LOADER: 'efi' })).toMatchObject({ calls: [], status: 0 });
  });

  it('does nothing, and fails, when the variables can not be read', () => {
    mkdirSync(path('efivars'));
    variable('KaonTrial', encodeTrial({ entry: 1, isArming: false }));
    expect(runGuard('root=/dev/sda3', undefined)).toMatchObject({ calls: [], status: 1 });
  });
});

describe('the trial guard under systemd-boot', () => {
  const variable = (name: string, text: string) => {
    const data = Buffer.from(`${text}\0`, 'utf16le');
    writeFileSync(path(`efivars/${name}-${loaderGuid}`), encodeVariable({ attributes: 6, data }));
  };

  /** A boot of slot b with these entries; `counted` is the name that it was counted under. */
  function run(
    entries: readonly string[],
    counted: string | undefined,
    isMounted: boolean,
    { isReadable = true, folder = 'loader/entries', selected = '' } = {},
  ) {
    mkdirSync(path('efivars'));
    mkdirSync(path(`esp/${folder}`), { recursive: true });
    for (const name of entries) writeFileSync(path(`esp/${folder}/${name}`), 'linux /kernel\n');
    variable('LoaderInfo', 'systemd-boot 252.39');
    variable('LoaderDevicePartUUID', '6B1D1C2E-0001');
    if (selected !== '') variable('LoaderEntrySelected', selected);
    if (counted !== undefined) variable('LoaderBootCountPath', `\\${folder}\\${counted}`.replaceAll('/', '\\'));
    script('findmnt', isMounted ? `echo ${path('esp')}` : 'exit 1');
    script(
      'mount',
      `echo "mount $*" >> ${path('mounts')}; ${isReadable ? `rm -r "$6"; ln -s ${path('esp')} "$6"` : 'exit 32'}`,
    );
    script('umount', `echo "umount $*" >> ${path('mounts')}; rm "$1"`);
    return runGuard('root=/dev/sda3 kaon.slot=B', undefined, {
      KAON_GUARD_FINDMNT: path('findmnt'),
      KAON_GUARD_MOUNT: path('mount'),
      KAON_GUARD_UMOUNT: path('umount'),
      KAON_GUARD_MOUNT_POINT: path('mounted'),
    });
  }

  it('reboots a trial', () => {
    const { calls, stderr } = run(['kaon-a.conf', 'kaon-b+1-1.conf'], 'kaon-b+1-1.conf', true);
    expect(calls).toContain('reboot');
    expect(stderr).toContain('entry kaon-b is in trial');
  });

  it.each([
    ['the slot was marked good', ['kaon-a.conf', 'kaon-b.conf', 'kaon-b.conf.staged'], 'kaon-b+1-1.conf'],
    ['the slot was marked bad', ['kaon-a.conf', 'kaon-b.conf.staged'], 'kaon-b+1-1.conf'],
    ['the boot was not counted', ['kaon-a.conf', 'kaon-b+2.conf'], undefined],
    ['the loader was tested', ['kaon-a.conf', 'kaon-b.conf', 'kaon-canary+0-1.conf'], 'kaon-canary+0-1.conf'],
    ['another entry is in trial', ['kaon-a.conf', 'kaon-bb+2.conf'], 'kaon-b+1-1.conf'],
  ])('never reboots when %s', (_what, entries, counted) => {
    expect(run(entries, counted, true)).toMatchObject({ calls: [], status: 0 });
  });

  it('reboots a trial of an image in EFI/Linux, and not the copy that the loader fell back to', () => {
    const images = { folder: 'EFI/Linux' };
    const trial = run(['kaon-a.1+0.efi', 'kaon-a.2+0.efi', 'kaon-b+1-1.efi'], 'kaon-b+1-1.efi', true, images);
    expect(trial.calls).toContain('reboot');
    rmSync(path('calls'), { force: true });
    rmSync(path('esp'), { recursive: true });
    rmSync(path('efivars'), { recursive: true });
    const fallback = ['kaon-a.1+0.efi', 'kaon-a.2+0-1.efi', 'kaon-b+0-2.efi'];
    expect(run(fallback, 'kaon-a.2+0-1.efi', true, images)).toMatchObject({ calls: [], status: 0 });
  });

  it.each([
    ['reboots a trial that the loader started by a torn name', 'kaon-b~1.efi', ['kaon-a.efi', 'kaon-b+0-1.efi'], true],
    ['knows a torn name in capitals', 'KAON-B~1.EFI', ['kaon-a.efi', 'kaon-b+0-1.efi'], true],
    ['knows what is left of the counter', 'os-b_1~1.efi', ['os-a.efi', 'os-b+0-1.efi'], true],
    ['leaves the image of a torn name alone once it is proven', 'kaon-b~1.efi', ['kaon-a.efi', 'kaon-b.efi'], false],
    ['leaves a torn name alone that nobody has renamed', 'kaon-b~1.efi', ['kaon-a.efi', 'kaon-b~1.efi'], false],
    ['does not take the other slot’s name for it', 'kaon-a~1.efi', ['kaon-a.efi', 'kaon-b+0-1.efi'], false],
    ['does not guess from six letters', 'edge-o~1.efi', ['edge-os-a.efi', 'edge-os-b+0-1.efi'], false],
    ['leaves a whole name alone', 'kaon-b.efi', ['kaon-a.efi', 'kaon-b+0-1.efi'], false],
  ])('%s', (_what, selected, images, isRebooted) => {
    const { calls, status } = run(images, undefined, true, { folder: 'EFI/Linux', selected });
    expect(calls.includes('reboot')).toBe(isRebooted);
    expect(status).toBe(0);
  });

  it('does nothing, and fails, when a torn name was started and the images can not be read', () => {
    const images = { folder: 'EFI/Linux', selected: 'kaon-b~1.efi', isReadable: false };
    expect(run(['kaon-b+0-1.efi'], undefined, false, images)).toMatchObject({ calls: [], status: 1 });
  });

  it('mounts the partition to look, where nobody has it mounted, and leaves it as it was', () => {
    expect(run(['kaon-a.conf', 'kaon-b.conf'], 'kaon-b+1-1.conf', false)).toMatchObject({ calls: [], status: 0 });
    expect(readFileSync(path('mounts'), 'utf8').trim().split('\n')).toEqual([
      `mount -t vfat -o ro /dev/disk/by-partuuid/6b1d1c2e-0001 ${path('mounted')}`,
      `umount ${path('mounted')}`,
    ]);
  });

  it('believes the loader that this is a trial when the entries can not be read', () => {
    expect(run(['kaon-b.conf'], 'kaon-b+1-1.conf', false, { isReadable: false }).calls).toContain('reboot');
  });
});

describe('the trial guard over the bits of a GPT', () => {
  const [a, b] = ['AAAAAAAA-0001-4000-8000-00000000000A', 'BBBBBBBB-0002-4000-8000-00000000000B'];

  function run(bitsOfA: string, bitsOfB: string, settings: Readonly<Record<string, string>> = {}) {
    // As blkid -p answers: the last argument is the device, and no attribute is no output.
    script('blkid', `case "$*" in *aaaaaaaa*) echo ${bitsOfA} ;; *bbbbbbbb*) echo ${bitsOfB} ;; esac`);
    return runGuard('verity.usr=PARTUUID=BBBBBBBB-0002-4000-8000-00000000000B', undefined, {
      KAON_LOADER: 'gpt',
      KAON_GPT_PARTITIONS: `${a} ${b}`,
      ...settings,
    });
  }

  it.each([
    ['reboots a trial', '0x141000000000000', '0x35000000000000', true],
    ['reboots a trial with its last try', '0x141000000000000', '0x5000000000000', true],
    ['reboots a trial whose priority ChromeOS took with the last try', '0x141000000000000', '', true],
    ['leaves a successful slot alone', '0x101000000000000', '0x102000000000000', false],
    ['leaves a slot alone that was never armed', '0x102000000000000', '', false],
  ])('%s', (_what, bitsOfA, bitsOfB, isRebooted) => {
    expect(run(bitsOfA, bitsOfB).calls.includes('reboot')).toBe(isRebooted);
  });

  it.each([
    ['blkid says nothing', '', '', {}],
    ['the partitions are not named', '0x141000000000000', '0x35000000000000', { KAON_GPT_PARTITIONS: '' }],
    ['the command line names neither', '0x1', '0x1', { KAON_GPT_PARTITIONS: `${a} ${a.replaceAll('A', 'C')}` }],
  ])('does nothing, and fails, when %s', (_what, bitsOfA, bitsOfB, settings) => {
    expect(run(bitsOfA, bitsOfB, settings)).toMatchObject({ calls: [], status: 1 });
  });
});

describe('writing down that a boot ended', () => {
  function run(systemState: string, ...args: readonly string[]) {
    script('systemctl', `echo ${systemState}`);
    return spawnSync('/bin/sh', [bootEnded, ...args], {
      env: {
        PATH: process.env['PATH'],
        KAON_STATE_DIR: join(directory, 'state'),
        KAON_BOOT_ID_FILE: path('boot_id'),
        KAON_GUARD_SYSTEMCTL: path('systemctl'),
      },
    }).status;
  }
  const ended = () => readFileSync(join(directory, 'state', 'boots-ended'), 'utf8');

  it('does so where the system goes down, and not where the agent alone ended', () => {
    spawnSync('mkdir', [path('state')]);
    expect(run('running')).toBe(0);
    expect(existsSync(path('state/boots-ended'))).toBe(false);
    expect(run('stopping')).toBe(0);
    expect(ended()).toBe('boot-2 shutdown\n');
  });

  it('keeps the latest 32 boots', () => {
    spawnSync('mkdir', [path('state')]);
    for (let n = 0; n < 40; n++) run('stopping', `by-${n}`);
    expect(ended().trim().split('\n')).toHaveLength(32);
    expect(ended().trim().endsWith('by-39')).toBe(true);
  });

  it('does not make a state directory that is missing', () => {
    expect(run('stopping')).toBe(1);
    expect(existsSync(path('state'))).toBe(false);
  });
});
