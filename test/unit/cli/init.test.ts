import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findSlots } from '../../../agent/cli/find-slots.ts';
import { initConfig, type InitFacts } from '../../../agent/cli/init-config.ts';
import { runCli } from '../../../agent/cli/program.ts';
import { parseConfig } from '../../../agent/config/parse-config.ts';
import { initFacts, partition } from './node-samples.ts';
import { RecordingIo, testDeps } from './recording-io.ts';

const inSlot = (number: number) => new Set([`8:${number}`]);

describe('finding the slots', () => {
  it.each([
    ['root-a', 'root-b'],
    ['rootfs_A', 'rootfs_B'],
    ['USR A', 'USR B'],
    ['systema', 'systemb'],
  ])('takes %s and %s for a pair, and the one that / is on for the booted one', (one, other) => {
    const partitions = [partition(2, one), partition(3, other), partition(4, 'data')];
    const found = findSlots(partitions, inSlot(3));
    expect(found).toMatchObject({
      pairs: [{ name: 'root', a: { number: 2 }, b: { number: 3 } }],
      booted: 'b',
      isGuess: false,
    });
  });

  it('tells the booted slot by its device, whatever the labels and their order say', () => {
    const swapped = [partition(2, 'root-b'), partition(3, 'root-a')];
    expect(findSlots(swapped, inSlot(2))).toMatchObject({ booted: 'b', pairs: [{ a: { number: 3 } }] });
  });

  it('finds further pairs, and none with three of a kind or on another disk', () => {
    const pairs = [partition(2, 'root-a'), partition(3, 'root-b'), partition(4, 'boot-a'), partition(5, 'boot-b')];
    const odd = [partition(6, 'x-a'), partition(7, 'x-b'), partition(8, 'X_A')];
    const elsewhere = [partition(1, 'root-a', { disk: '8:16', deviceNumber: '8:17' })];
    const found = findSlots([...pairs, ...odd, ...elsewhere], inSlot(2));
    expect(found).toMatchObject({ pairs: [{ name: 'root' }, { name: 'boot', a: { number: 4 }, b: { number: 5 } }] });
    expect(found).toHaveProperty('pairs.length', 2);
  });

  it('guesses by type and size where there are no labels, and says so', () => {
    const partitions = [partition(2, undefined), partition(3, undefined), partition(4, 'data', { sizeBytes: 5 })];
    expect(findSlots(partitions, inSlot(3))).toMatchObject({
      booted: 'b',
      pairs: [{ a: { number: 2 } }],
      isGuess: true,
    });
  });

  it.each([
    [[partition(2, 'root')], inSlot(2), 'no partition beside /dev/sda2 has a label'],
    [[partition(2, 'x'), partition(3, 'y'), partition(4, 'z')], inSlot(2), 'several partitions are like /dev/sda2'],
    [[partition(2, 'root-a')], inSlot(9), 'does not run from a partition'],
    [[partition(2, 'root-a'), partition(3, 'root-b')], new Set(['8:2', '8:3']), '/ lies on several partitions'],
  ])('finds none in %#, and says why', (partitions, root, words) => {
    expect(findSlots(partitions, root)).toContain(words);
  });
});

/** The configuration that `facts` lead to, as kaond would read it. */
function parsed(facts: InitFacts) {
  const { text } = initConfig(facts, { compatible: undefined });
  return parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text }] });
}

describe('the configuration of a node that nobody set up', () => {
  it('can be used as it is, where all was found', () => {
    const config = parsed(initFacts());
    expect(config).toMatchObject({
      node: { compatible: 'acme-gateway-2' },
      stateDir: '/var/lib/kaon',
      slots: {
        a: {
          bootName: 'A',
          partitions: { root: { device: '/dev/disk/by-partuuid/6b1d1c2e-54b1-4d8e-9a4f-6f2f6f6a0a02' } },
        },
        b: {
          bootName: 'B',
          partitions: { root: { device: '/dev/disk/by-partuuid/6b1d1c2e-54b1-4d8e-9a4f-6f2f6f6a0a03' } },
        },
      },
      bootloader: { type: 'grub', environment: '/boot/grub/grubenv' },
      trust: {
        keys: { 'release-1': { file: '/etc/kaon/keys/release-1.pub' } },
        rules: [{ prefix: 'registry.acme.io' }],
      },
      registries: { 'registry.acme.io': { authFile: '/etc/kaon/auth.json' } },
    });
    const { unknowns, booted } = initConfig(initFacts(), { compatible: undefined });
    expect(booted).toBe('b');
    expect(unknowns).toEqual([
      'trust.rules: see that the prefix names the images of this node and no others',
      'health.checks: write checks of what this node is for',
    ]);
  });

  it('keeps further partitions of the slots until somebody says that images bring them', () => {
    const partitions = [...initFacts().partitions, partition(5, 'boot-a'), partition(6, 'boot-b')];
    const config = parsed(initFacts({ partitions }));
    expect(config.slots.a.partitions['boot']).toMatchObject({ keep: true });
    expect(config.slots.a.partitions['root']).toMatchObject({ keep: false });
  });

  it('tells the kernel of each slot its root where kaon writes the entries', () => {
    const settings = { esp: { device: '/dev/disk/by-partuuid/1234-5678' } };
    const loader = { type: 'systemd-boot', confidence: 'certain', reasons: ['it says so'], settings } as const;
    const config = parsed(initFacts({ loaders: [loader] }));
    expect(config.slots.b.bootOptions).toBe('root=PARTUUID=6b1d1c2e-54b1-4d8e-9a4f-6f2f6f6a0a03 ro');
    expect(config.bootloader).toMatchObject({ esp: { device: '/dev/disk/by-partuuid/1234-5678' } });
  });

  it('has numbers where a loader counts its partitions', () => {
    const settings = { file: '/boot/firmware/autoboot.txt', partitions: { a: '2', b: '3' } };
    const loader = { type: 'tryboot', confidence: 'certain', reasons: ['a Pi'], settings } as const;
    expect(parsed(initFacts({ loaders: [loader] })).bootloader).toMatchObject({ partitions: { a: 2, b: 3 } });
  });

  it.each([
    [{ partitions: [] }, 'slots: the system does not run from a partition that udev knows'],
    [{ loaders: [] }, 'bootloader: no loader that kaon can drive was found; see bootloader/docs'],
    [{ machine: undefined }, 'node.compatible: the machine says nothing of its kind; name it as images do'],
    [{ keys: [] }, 'trust.keys: there is no key under /etc/kaon/keys; put release keys there (kaonctl keygen)'],
    [{ registries: [] }, 'trust.rules: no registry is known here; write the prefix of the images of this node'],
    [
      { stateDevice: '8:2' },
      'stateDir: mount a data partition that both slots share at /var/lib/kaon, or name another directory',
    ],
    [
      { loaders: [{ type: 'efi', confidence: 'possible', reasons: ['UEFI'], settings: {} } as const] },
      'bootloader.entries: see the page of efi in bootloader/docs',
    ],
  ])('of %j says what it could not find out', (changes, unknown) => {
    const { text, unknowns } = initConfig(initFacts(changes), { compatible: undefined });
    expect(unknowns).toContain(unknown);
    expect(text).toContain('formatVersion: 1');
  });

  it('puts no label of a disk anywhere but into one line of a comment', () => {
    const partitions = [partition(2, 'root\n evil: 1\n-a'), partition(3, 'root\n evil: 1\n-b')];
    const { text } = initConfig(initFacts({ partitions, rootDevices: inSlot(2) }), { compatible: undefined });
    expect(text.split('\n').filter((line) => /^\s*evil/.test(line))).toEqual([]);
  });
});

describe('kaonctl init', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kaon-init-'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  async function init(...argv: readonly string[]) {
    const io = new RecordingIo();
    return { io, exitCode: await runCli(['init', ...argv], io, testDeps()) };
  }

  it('writes the file, says what is left and what comes then, and exits 1 for what is left', async () => {
    const path = join(directory, 'etc/kaon.yaml');
    const { io, exitCode } = await init('--output', path, '--compatible', 'acme-gw-2');
    expect(exitCode).toBe(1);
    expect(io.stdout).toContain(`wrote ${path}`);
    expect(io.stdout).toContain('  - health.checks: ');
    expect(io.stdout).toContain('kaonctl mark good b');
    expect(await readFile(path, 'utf8')).toContain('  compatible: acme-gw-2\n');
  });

  it('writes over no configuration without --force', async () => {
    const path = join(directory, 'kaon.yaml');
    await writeFile(path, 'mine');
    const refused = await init('--output', path);
    expect(refused.exitCode).toBe(78);
    expect(refused.io.stderr).toContain('it is there');
    expect(await readFile(path, 'utf8')).toBe('mine');
    expect((await init('--output', path, '--force')).exitCode).toBe(1);
    expect(await readFile(path, 'utf8')).toContain('formatVersion: 1');
    await expect(stat(`${path}.new`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('shows it on stdout and writes nothing', async () => {
    const { io } = await init('--output', '-');
    expect(io.stdout).toContain('formatVersion: 1');
    expect(io.stderr).toContain('left to be filled in');
    const json = (await init('--output', '-', '--json')).io.json();
    expect(json).toMatchObject({ booted: 'b', text: expect.stringContaining('slots:') as string });
  });
});
