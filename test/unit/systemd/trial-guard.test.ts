import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeCopy } from '../../../bootloader/ubootenv.ts';

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

function runGuard(cmdline: string | undefined, environment: string | undefined) {
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
