import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TrybootBootloader } from '../../../bootloader/tryboot.ts';
import { ProcTrybootFacts } from '../../../bootloader/tryboot-facts.ts';
import { PowerLossFile } from '../../fakes/power-loss-file.ts';
import { TrybootBoard } from '../../fakes/tryboot-firmware.ts';

const documented = '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n';

function newNode(text = documented, sizeBytes = 512) {
  const file = new PowerLossFile(Buffer.from(text.padEnd(sizeBytes, '\n')));
  const board = new TrybootBoard();
  return { file, board, loader: new TrybootBootloader(file, board, { a: 2, b: 3 }) };
}

describe('tryboot', () => {
  it('starts a trial by the reboot that it armed, once', async () => {
    const { file, board, loader } = newNode();
    await expect(loader.armReboot('b')).rejects.toMatchObject({ code: 'boot-not-armed' });
    await loader.activate('b', 1);
    await expect(loader.armReboot('a')).rejects.toMatchObject({ code: 'boot-not-armed' });
    const argument = await loader.armReboot('b');
    expect(argument).toBe('0 tryboot');
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', slots: { b: { triesLeft: 1 } } });
    board.reboot(argument);
    expect(board.boot(file.disk)).toBe(3);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
    expect(board.boot(file.disk)).toBe(2);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
  });

  it.each([
    ['the power went', (board: TrybootBoard) => board.losePower()],
    ['somebody else rebooted', (board: TrybootBoard) => board.reboot(undefined)],
  ])('does not take a slot for tried when %s between arming and the reboot', async (_what, end) => {
    const { file, board, loader } = newNode();
    await loader.activate('b', 1);
    end(board);
    expect(board.boot(file.disk)).toBe(2);
    expect(await loader.readStatus()).toEqual({
      primary: 'a',
      trial: 'b',
      trialTries: 1,
      slots: { a: { state: 'good', triesLeft: 1 }, b: { state: 'trial', triesLeft: 1 } },
    });
    await loader.activate('b', 1);
    expect((await loader.readStatus()).primary).toBe('b');
  });

  it('counts a trial as tried from the moment in which its reboot is about to be made', async () => {
    const { file, board, loader } = newNode();
    await loader.activate('b', 1);
    await loader.armReboot('b');
    board.losePower();
    expect(board.boot(file.disk)).toBe(2);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
    await loader.activate('b', 1);
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', slots: { b: { triesLeft: 1 } } });
  });

  it('leaves a tryboot of somebody else’s no way into a bad slot', async () => {
    const { file, board, loader } = newNode();
    await loader.markBad('b');
    board.reboot('0 tryboot');
    expect(board.boot(file.disk)).toBe(2);
  });

  it('knows the inactive slot after a commit, though the file names the one that runs', async () => {
    const { file, board, loader } = newNode();
    await loader.activate('b', 1);
    board.reboot('0 tryboot');
    board.boot(file.disk);
    await loader.markGood('b');
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      slots: { a: { state: 'good' }, b: { state: 'good' } },
    });
    await loader.markBad('a');
    expect(await loader.readStatus()).toMatchObject({ primary: 'b', slots: { a: { state: 'bad' } } });
  });

  it('disarms when the running slot is marked good, and keeps the trial in mind', async () => {
    const { loader } = newNode();
    await loader.activate('b', 1);
    await loader.markGood('a');
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { triesLeft: 0 } } });
  });

  it('tells a trial that other tools began by the device tree', async () => {
    const { file, board, loader } = newNode();
    board.reboot('0 tryboot');
    board.boot(file.disk);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: 'b', slots: { b: { state: 'trial' } } });
    board.boot(file.disk);
    expect(await loader.readStatus()).toMatchObject({ primary: 'a', trial: undefined, slots: { b: { state: 'bad' } } });
  });

  it('changes one sector and never the size', async () => {
    const { file, loader } = newNode();
    await loader.activate('b', 1);
    expect(file.disk.byteLength).toBe(512);
    const short = newNode(documented, documented.length);
    await expect(short.loader.activate('b', 1)).rejects.toMatchObject({ code: 'boot-env-write-failed' });
  });

  it.each([
    ['empty', ''],
    ['of other partitions', documented.replace('=2', '=5')],
    ['with a tryboot of another partition', documented.replace('=3', '=5')],
  ])('repairs a file that is %s from the slot that runs', async (_name, text) => {
    const { loader, file, board } = newNode(text);
    await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-corrupt' });
    expect(await loader.repair('b', true)).toBe(true);
    expect(await loader.readStatus()).toMatchObject({
      primary: 'b',
      trial: undefined,
      slots: { a: { state: 'good' } },
    });
    expect(board.boot(file.disk)).toBe(3);
    expect(await loader.repair('b', false)).toBe(false);
  });

  it.each([
    [2, 2],
    [0, 3],
    [2, 1000],
    [2, 2.5],
  ])('refuses partitions %d and %d', (a, b) => {
    expect(() => new TrybootBootloader(newNode().file, new TrybootBoard(), { a, b })).toThrow(
      expect.objectContaining({ code: 'bootloader-unsupported' }),
    );
  });
});

describe('the facts of a boot under /proc', () => {
  it('are the bytes that are there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kaon-proc-'));
    try {
      const facts = new ProcTrybootFacts(folder);
      expect(await facts.tryboot()).toBeUndefined();
      await expect(facts.bootId()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
      await mkdir(join(folder, 'device-tree/chosen/bootloader'), { recursive: true });
      await mkdir(join(folder, 'sys/kernel/random'), { recursive: true });
      await writeFile(join(folder, 'device-tree/chosen/bootloader/tryboot'), Buffer.of(0, 0, 0, 1));
      await writeFile(join(folder, 'device-tree/chosen/bootloader/partition'), Buffer.of(0, 0, 3));
      await writeFile(join(folder, 'sys/kernel/random/boot_id'), '1f2e3d4c-0000-4000-8000-000000000000\n');
      expect(Buffer.from((await facts.tryboot())!)).toEqual(Buffer.of(0, 0, 0, 1));
      const loader = new TrybootBootloader(newNode().file, facts, { a: 2, b: 3 });
      await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
      await writeFile(join(folder, 'device-tree/chosen/bootloader/partition'), Buffer.of(0, 0, 0, 3));
      expect((await loader.readStatus()).trial).toBe('b');
      await loader.activate('b', 1);
      expect(await loader.armReboot('b')).toBe('0 tryboot');
      await writeFile(join(folder, 'sys/kernel/random/boot_id'), 'nonsense');
      await expect(loader.readStatus()).rejects.toMatchObject({ code: 'boot-env-unreadable' });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
