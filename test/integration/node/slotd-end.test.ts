import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SlotdClient } from '../../../agent/slotd/client.ts';
import { socketConnector } from '../../../agent/slotd/connect-slotd.ts';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

const slotdProgram = fileURLToPath(new URL('../../../package/bin/kaon-slotd.js', import.meta.url));

let bench: NodeBench;
beforeEach(async () => {
  bench = await NodeBench.open();
});
afterEach(() => bench.close());

it('a kaon-slotd that the reboot ends still says that the reboot was accepted', { timeout: 180_000 }, async () => {
  const socket = join(bench.folder, 'run/slotd.sock');
  const script = join(bench.folder, 'reboot.sh');
  // As systemd does: whoever asked is told to end while its answer is still on the way.
  await writeFile(script, '#!/bin/sh\nkill -TERM "$PPID"\nsleep 1\n', { mode: 0o755 });
  const options = ['--listen', socket, '--config', join(bench.folder, 'etc/kaon.yaml'), '--image-config', '/none'];
  const own = ['--state-dir', join(bench.folder, 'slotd'), '--booted-slot', 'a', '--allow-file-slots'];
  const command = [slotdProgram, ...options, ...own, '--reboot-command', JSON.stringify([script])];
  const child = spawn(process.execPath, command, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const client = new SlotdClient(socketConnector(socket));
  await until('kaon-slotd', 60_000, () => client.readNode().catch(() => undefined));
  await client.reboot();
  expect(await ended).toEqual([0, null]);
});
