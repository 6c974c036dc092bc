import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PartitionConfig } from '../../../partitions/block-device.ts';
import { lockFile } from '../../../partitions/file-lock.ts';
import { LinuxSlotDevices } from '../../../partitions/linux-slot-devices.ts';
import { openExclusively } from '../../../partitions/open-device.ts';
import { codeOf } from './samples.ts';

let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-slots-'));
  for (const name of ['root-a', 'root-b', 'boot-b']) await writeFile(join(folder, name), Buffer.alloc(16_384));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const file = (name: string): PartitionConfig => ({ device: join(folder, name), kind: 'file', keep: false });

function devicesWith(
  b: Record<string, PartitionConfig>,
  options: { areFilesAllowed?: boolean; isRoot?: boolean; a?: Record<string, PartitionConfig> } = {},
): LinuxSlotDevices {
  return new LinuxSlotDevices({
    slots: { a: options.a ?? { root: file('root-a') }, b },
    booted: 'a',
    areFilesAllowed: options.areFilesAllowed ?? true,
    isRoot: options.isRoot ?? false,
  });
}

const codeOfOpening = (devices: LinuxSlotDevices) => codeOf(async () => (await devices.open('b', 'root')).close());

describe('slots of this machine', () => {
  it('open files for whoever is not root, and for root only where it is allowed', async () => {
    const slots = { root: file('root-b') };
    expect(await codeOfOpening(devicesWith(slots, { areFilesAllowed: false }))).toBe('no error');
    expect(await codeOfOpening(devicesWith(slots, { isRoot: true }))).toBe('no error');
    expect(await codeOfOpening(devicesWith(slots, { areFilesAllowed: false, isRoot: true }))).toBe(
      'slot-device-refused',
    );
  });

  it('refuse a device of the booted slot under any name', async () => {
    await symlink(join(folder, 'root-a'), join(folder, 'innocent'));
    expect(await codeOfOpening(devicesWith({ root: file('innocent') }))).toBe('slot-busy');
  });

  it('refuse one device for two partitions', async () => {
    await symlink(join(folder, 'root-b'), join(folder, 'twin'));
    const devices = devicesWith({ root: file('root-b'), boot: file('twin') });
    expect(await codeOfOpening(devices)).toBe('slot-device-refused');
  });

  it('refuse what is of another kind than configured', async () => {
    await mkdir(join(folder, 'folder'));
    for (const root of [
      { ...file('root-b'), kind: 'block' as const },
      file('folder'),
      { ...file('root-b'), device: '/dev/null' },
    ]) {
      expect(await codeOfOpening(devicesWith({ root }))).toBe('slot-device-refused');
    }
  });

  it('call a missing device unreadable, and one of the booted slot as well', async () => {
    expect(await codeOfOpening(devicesWith({ root: file('missing') }))).toBe('slot-device-unreadable');
    const devices = devicesWith({ root: file('root-b') }, { a: { root: file('missing') } });
    expect(await codeOfOpening(devices)).toBe('slot-device-unreadable');
    expect(await codeOf(() => devices.sizes('a'))).toBe('slot-device-unreadable');
  });

  it('do not mind a missing neighbour', async () => {
    expect(await codeOfOpening(devicesWith({ root: file('root-b'), boot: file('missing') }))).toBe('no error');
  });

  it('leave no lock behind, also when opening fails', async () => {
    const devices = devicesWith({ root: file('root-b') });
    const device = await devices.open('b', 'root');
    expect(await readdir(folder)).toContain('root-b.lock');
    await device.close();
    expect((await readdir(folder)).sort()).toEqual(['boot-b', 'root-a', 'root-b']);
  });

  it('never extend a file, though it shrank after it was opened', async () => {
    const device = await devicesWith({ root: file('root-b') }).open('b', 'root');
    expect(device.sizeBytes).toBe(16_384);
    await truncate(join(folder, 'root-b'), 8192);
    expect(await codeOf(() => device.read(device.allocate(4096), 12_288))).toBe('slot-write-failed');
    await device.close();
  });

  it('refuse a path that became another file while it was opened', async () => {
    const path = join(folder, 'root-b');
    const code = await codeOf(() => openExclusively(path, { kind: 'file', id: '1/1' }, 4096));
    expect(code).toBe('slot-device-refused');
  });
});

describe('the lock of a file', () => {
  it('is held by one, and free after release', async () => {
    const path = join(folder, 'root-b');
    const release = await lockFile(path);
    expect(await codeOf(() => lockFile(path))).toBe('slot-busy');
    await release();
    await (
      await lockFile(path)
    )();
  });

  it('is taken over from a dead process, or one whose pid is somebody else’s now', async () => {
    const path = join(folder, 'root-b');
    for (const mark of ['999999999 5', `${process.pid} 1`, '', 'rubbish', '0 0', '-1 0']) {
      await writeFile(`${path}.lock`, mark);
      const release = await lockFile(path);
      expect(await readFile(`${path}.lock`, 'utf8')).toMatch(new RegExp(`^${process.pid} \\d+$`));
      await release();
    }
    expect((await readdir(folder)).sort()).toEqual(['boot-b', 'root-a', 'root-b']);
  });

  it('is taken over from a process that ended and that nobody has waited for', async () => {
    // The child ends once the shell has become a program that waits for nobody.
    const child = '(until grep -q sleep /proc/$$/comm; do sleep 0.02; done) & echo $!; exec sleep 60';
    const shell = spawn('sh', ['-c', child], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      const [said] = (await once(shell.stdout, 'data')) as [Buffer];
      const pid = said.toString().trim();
      const fields = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
      await vi.waitFor(() => expect(fields()[2]).toBe('Z'), 60_000);
      const path = join(folder, 'root-b');
      await writeFile(`${path}.lock`, `${pid} ${fields()[21] ?? ''}`);
      await (
        await lockFile(path)
      )();
    } finally {
      shell.kill('SIGKILL');
    }
  });

  it('goes to one of many that want a stale one at once', async () => {
    const path = join(folder, 'root-b');
    for (let round = 0; round < 50; round += 1) {
      await writeFile(`${path}.lock`, '999999999 5');
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFile(path)));
      const releases = tries.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
      expect(releases.length).toBe(1);
      for (const release of releases) await release();
    }
    expect((await readdir(folder)).sort()).toEqual(['boot-b', 'root-a', 'root-b']);
  });

  it('is taken over where the one who took it over died in the middle', async () => {
    const path = join(folder, 'root-b');
    await writeFile(`${path}.lock`, '999999999 5');
    await writeFile(`${path}.lock.takeover`, '999999999 6');
    await (
      await lockFile(path)
    )();
    expect((await readdir(folder)).sort()).toEqual(['boot-b', 'root-a', 'root-b']);
  });

  it('is of the file, not of its name', async () => {
    await symlink(join(folder, 'root-b'), join(folder, 'twin'));
    const release = await lockFile(join(folder, 'root-b'));
    expect(await codeOf(() => lockFile(join(folder, 'twin')))).toBe('slot-busy');
    await release();
  });
});
