import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RollbackRecord } from '../../../agent/core/ports.ts';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

let bench: NodeBench;

beforeEach(async () => {
  bench = await NodeBench.open();
});

afterEach(async () => {
  await bench.close();
});

/** Starts the node, with one try a trial and one health check: one that fails keeps a trial up to its deadline. */
async function powerOn(check: '/bin/true' | '/bin/false' = '/bin/false'): Promise<void> {
  const health = `health:\n  checks:\n    - { name: web, kind: command, command: [${check}] }\n`;
  await bench.node.configure(
    bench.config([
      ['tries: 4', 'tries: 1'],
      ['update:', `${health}update:`],
    ]),
  );
  await bench.powerOn();
}

/** What the node's kernel says, as its files have it. */
async function kernelSays(path: string, text: string): Promise<void> {
  const file = join(bench.folder, 'kernel', path);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, text);
}

/** A watchdog that can report its resets, and a store of panics. */
async function kernelTells(): Promise<void> {
  await kernelSays('sys/class/watchdog/watchdog0/bootstatus', '0\n');
  await kernelSays('sys/class/watchdog/watchdog0/options', '0x81a0\n');
  await kernelSays('sys/module/pstore/parameters/backend', 'efi_pstore\n');
}

interface Status {
  readonly booted?: string;
  readonly phase: string;
}

async function reached(booted: 'a' | 'b', phase: string): Promise<void> {
  await until(`${phase} in slot ${booted}`, 60_000, async () => {
    const status = (await bench.node.read('/v1/status')) as Status | undefined;
    return status?.booted === booted && status.phase === phase ? true : undefined;
  });
}

/** Updates to a new image and waits until it is in trial, where it stays. */
async function trial(): Promise<string> {
  const image = bench.push();
  await bench.kaonctl('update', image.reference, '--detach');
  await reached('b', 'trial');
  return image.digest;
}

/** Arms the loader for a new image. */
async function armed(): Promise<string> {
  const image = bench.push();
  const { exitCode, stderr } = await bench.kaonctl('update', image.reference, '--until', 'activated');
  if (exitCode !== 0) throw new Error(stderr);
  return image.digest;
}

/** The one record that the old slot's agent has. */
async function record(): Promise<RollbackRecord> {
  const id = await until('the rollback', 60_000, async () => {
    const status = (await bench.node.read('/v1/status')) as Status | undefined;
    const found = (await bench.node.read('/v1/rollbacks')) as readonly { readonly id: string }[] | undefined;
    return status?.booted === 'a' && status.phase === 'idle' && found?.length === 1 ? found[0]?.id : undefined;
  });
  return (await bench.node.read(`/v1/rollbacks/${id}`)) as RollbackRecord;
}

const isKnownBad = async (digest: string) => (await bench.node.read(`/v1/known-bad/${digest}`)) !== undefined;

const boots = () => bench.node.boots.map((boot) => boot.slice(0, 1)).join('');

describe('the record in the old slot of a trial', { timeout: 120_000 }, () => {
  it('that ended abruptly with nothing that tells why is trial-lost', async () => {
    await powerOn();
    const digest = await trial();
    await bench.node.reset();
    expect(await record()).toMatchObject({
      kind: 'trial-lost',
      reason: 'trial-lost',
      isInconclusive: false,
      tries: { armed: 1, used: 1 },
      digest,
    });
    expect(await isKnownBad(digest)).toBe(true);
  });

  it('in which somebody rebooted the node is interrupted', async () => {
    await powerOn();
    const digest = await trial();
    await bench.node.rebootInOrder();
    expect(await record()).toMatchObject({ kind: 'interrupted', reason: 'trial-lost', isInconclusive: false, digest });
    expect(await isKnownBad(digest)).toBe(true);
  });

  it('that the watchdog ended is a hang', async () => {
    await kernelTells();
    await powerOn();
    const digest = await trial();
    await kernelSays('sys/class/watchdog/watchdog0/bootstatus', '32\n');
    await bench.node.reset();
    const { evidence, ...read } = await record();
    expect(read).toMatchObject({ kind: 'hang', reason: 'trial-lost', isInconclusive: false, digest });
    expect(evidence).toContainEqual({ kind: 'boots', name: 'reset', text: 'this boot: watchdog' });
  });

  it('that lost its power twice in a row is a power-loss, and the image is not known bad', async () => {
    await kernelTells();
    await powerOn();
    const digest = await trial();
    await bench.node.reset();
    // The old slot arms it once more by itself.
    await reached('b', 'trial');
    await bench.node.reset();
    expect(await record()).toMatchObject({ kind: 'power-loss', reason: 'power-lost', isInconclusive: true, digest });
    expect(boots()).toBe('ababa');
    expect(await isKnownBad(digest)).toBe(false);
  });

  it('that panicked before it had a userspace is died-before-userspace, with the words of the kernel', async () => {
    await kernelTells();
    await powerOn();
    const digest = await armed();
    bench.panicking.add('b');
    const words = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)';
    await kernelSays('sys/fs/pstore/dmesg-efi-1', `Panic#1 Part1\n<0>[    1.2] ${words}\n`);
    await bench.kaonctl('reboot');
    const { evidence, ...read } = await record();
    expect(read).toMatchObject({ kind: 'died-before-userspace', reason: 'never-booted', digest });
    expect(evidence.find(({ kind }) => kind === 'pstore')?.text).toContain(words);
    expect(boots()).toBe('aba');
  });

  it('that an operator cancelled is of the kind operator', async () => {
    await powerOn();
    const digest = await trial();
    await bench.kaonctl('cancel');
    expect(await record()).toMatchObject({ kind: 'operator', reason: 'operator', isInconclusive: false, digest });
    expect(await isKnownBad(digest)).toBe(false);
  });

  it('that never began, as the loader forgot it, is loader-failed', async () => {
    await powerOn();
    const digest = await armed();
    await writeFile(join(bench.folder, 'grubenv'), Buffer.alloc(1024));
    await bench.node.reset();
    expect(await record()).toMatchObject({ kind: 'loader-failed', reason: 'activation-failed', digest });
    expect(boots()).toBe('aa');
    expect(await isKnownBad(digest)).toBe(false);
  });
});

it(
  'the record in the old slot of a committed slot that no longer boots is slot-lost',
  { timeout: 120_000 },
  async () => {
    await powerOn('/bin/true');
    await bench.kaonctl('update', bench.push().reference, '--detach');
    await reached('b', 'idle');
    await bench.setLoader('B_LEFT', '0');
    await bench.node.reset();
    expect(await record()).toMatchObject({ kind: 'slot-lost', reason: 'committed-slot-lost', slot: 'b' });
    expect(boots()).toBe('aba');
  },
);
