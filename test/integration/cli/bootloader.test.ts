import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DetectedLoader } from '../../../bootloader/detect.ts';
import { AgentError } from '../../../agent/core/errors.ts';
import { runCli } from '../../../agent/cli/program.ts';
import { RecordingIo, testDeps } from '../../unit/cli/recording-io.ts';
import { TestDaemon } from './daemon.ts';

describe('kaonctl bootloader', () => {
  let daemon: TestDaemon;
  beforeEach(async () => {
    daemon = await TestDaemon.start();
  });
  afterEach(() => daemon.remove());

  it('tells the loaders that were found, why, and what to configure', async () => {
    const found: DetectedLoader = {
      type: 'grub',
      confidence: 'likely',
      reasons: ['it has the variables of \u001b[31mkaon’s grub.cfg'],
      settings: { environment: '/boot/grub/grubenv' },
    };
    const io = new RecordingIo();
    const deps = { ...testDeps(), detectLoaders: async () => [found] };
    expect(await runCli(['bootloader', 'detect'], io, deps)).toBe(0);
    expect(io.stdout).toContain('bootloader: { type: grub, environment: /boot/grub/grubenv }');
    expect(io.stdout).not.toContain('\u001b');
    const json = new RecordingIo();
    await runCli(['bootloader', 'detect', '--json'], json, deps);
    expect(json.json()).toEqual([found]);
    expect(await runCli(['bootloader', 'detect'], new RecordingIo(), testDeps())).toBe(1);
  });

  it('says by the daemon whether the loader counts', async () => {
    const run = async () => {
      const io = new RecordingIo({ environment: { KAON_SOCKET: daemon.socket } });
      return { exitCode: await runCli(['bootloader', 'selftest'], io, testDeps()), text: io.stdout };
    };
    expect(await run()).toMatchObject({ exitCode: 0, text: expect.stringContaining('not known yet') as string });
    daemon.control.become({ hasLoaderCounted: true });
    expect(await run()).toMatchObject({ exitCode: 0, text: 'the loader counted this boot\n' });
    daemon.control.become({ hasLoaderCounted: false });
    expect(await run()).toMatchObject({ exitCode: 1, text: expect.stringContaining('never fall back') as string });
  });

  it('begins a test that reboots only when it is told to', async () => {
    const io = new RecordingIo({ environment: { KAON_SOCKET: daemon.socket } });
    expect(await runCli(['bootloader', 'selftest', '--reboot'], io, testDeps())).toBe(0);
    expect(io.stdout).toContain('reboots into the slot that runs');
    expect(daemon.control.asked).toContain('test-loader');
    daemon.control.failure = new AgentError('bootloader-unsupported', 'cannot test the loader: it counts trials alone');
    const refused = new RecordingIo({ environment: { KAON_SOCKET: daemon.socket } });
    expect(await runCli(['bootloader', 'selftest', '--reboot'], refused, testDeps())).toBe(78);
    expect(refused.stderr).toContain('it counts trials alone');
  });

  it('wants to know which of the two', async () => {
    const io = new RecordingIo();
    expect(await runCli(['bootloader'], io, testDeps())).toBe(64);
    expect(io.stderr).toContain('say detect or selftest');
  });
});
