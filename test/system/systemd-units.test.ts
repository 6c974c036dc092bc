import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ProcessCommandRunner } from '../../agent/host/process-command-runner.ts';
import { SystemdNotifier } from '../../agent/systemd/notifier.ts';

const units = readdirSync('systemd-units').filter((name) => /\.(service|socket|timer)$/.test(name));
const services = units.filter((name) => name.endsWith('.service'));

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-units-'));
  // The programs are not installed here: stand-ins take their places, so that every other fault shows.
  const programs = join(directory, 'bin');
  mkdirSync(programs);
  for (const name of ['kaond', 'kaon-slotd', 'kaonctl', 'kaon-trial-guard', 'kaon-boot-ended']) {
    writeFileSync(join(programs, name), '#!/bin/sh\n');
    chmodSync(join(programs, name), 0o755);
  }
  for (const name of units) {
    const text = readFileSync(join('systemd-units', name), 'utf8').replaceAll('/usr/lib/kaon/bin', programs);
    writeFileSync(join(directory, name), text);
  }
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function run(program: string, ...args: readonly string[]) {
  return spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_UNIT_PATH: `${directory}:`, SYSTEMD_COLORS: '0' },
  });
}

describe('the units', () => {
  it('have no fault that systemd-analyze verify finds', () => {
    const { status, stdout, stderr } = run(
      'systemd-analyze',
      'verify',
      '--man=no',
      ...units.map((name) => join(directory, name)),
    );
    expect(stdout + stderr).toBe('');
    expect(status).toBe(0);
  });

  it('are closed as far as their work allows', () => {
    const limits: Readonly<Record<string, number>> = {
      'kaond.service': 2.5,
      'kaon-slotd.service': 2.5,
      'kaon-health.service': 1.5,
    };
    for (const name of services) {
      const { stdout } = run('systemd-analyze', 'security', '--offline=true', '--no-pager', join(directory, name));
      const score = Number(/exposure level for .*: ([\d.]+)/.exec(stdout)?.[1]);
      console.log(`${name}: exposure ${score}`);
      expect(score).toBeLessThanOrEqual(limits[name] ?? 10);
    }
  });

  it('never give up: no start limit ends the agent or the slot service', () => {
    for (const name of ['kaond.service', 'kaon-slotd.service']) {
      expect(readFileSync(join('systemd-units', name), 'utf8')).toMatch(/^StartLimitIntervalSec=0$/m);
    }
  });

  it('make the user, its group and the directories', () => {
    const root = mkdtempSync(join(tmpdir(), 'kaon-root-'));
    try {
      for (const kind of ['sysusers.d', 'tmpfiles.d']) {
        mkdirSync(join(root, 'usr/lib', kind), { recursive: true });
        copyFileSync(join('systemd-units', kind, 'kaon.conf'), join(root, 'usr/lib', kind, 'kaon.conf'));
      }
      mkdirSync(join(root, 'etc'));
      // As the kernel makes it.
      mkdirSync(join(root, 'sys/fs/pstore'), { recursive: true });
      chmodSync(join(root, 'sys/fs/pstore'), 0o750);
      expect(run('systemd-sysusers', `--root=${root}`).status).toBe(0);
      expect(readFileSync(join(root, 'etc/passwd'), 'utf8')).toMatch(
        /^kaon:x:\d+:\d+:kaon update agent:\/var\/lib\/kaon:/m,
      );
      const groups = readFileSync(join(root, 'etc/group'), 'utf8');
      expect(groups).toMatch(/^kaon:x:\d+:/m);
      expect(groups).toMatch(/^systemd-journal:x:\d+:kaon$/m);
      expect(run('systemd-tmpfiles', '--create', `--root=${root}`).status).toBe(0);
      expect(statSync(join(root, 'var/lib/kaon')).mode & 0o7777).toBe(0o750);
      expect(statSync(join(root, 'etc/kaon')).mode & 0o7777).toBe(0o755);
      const records = statSync(join(root, 'sys/fs/pstore'));
      expect({ mode: records.mode & 0o7777, group: records.gid }).toEqual({
        mode: 0o750,
        group: statSync(join(root, 'var/lib/kaon')).gid,
      });
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

/** A receiver as systemd is one: it takes the descriptors of BARRIER=1 and closes them, which lets the sender go on. */
const receiver = `
import array, os, socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
sock.bind(sys.argv[1])
print("bound", flush=True)
while True:
    data, ancillary, _flags, _address = sock.recvmsg(4096, 1024)
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            for descriptor in array.array("i", payload):
                os.close(descriptor)
    print(data.decode().strip().replace("\\n", "|"), flush=True)
`;

describe('notifying systemd by systemd-notify', () => {
  let python: ReturnType<typeof spawn> | undefined;
  afterEach(() => {
    python?.kill('SIGKILL');
  });

  it('delivers each message before it resolves', async () => {
    const path = join(directory, 'notify.sock');
    const child = spawn('python3', ['-c', receiver, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    python = child;
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => (await lines.next()).value;
    expect(await next()).toBe('bound');
    const problems: string[] = [];
    const environment = { ...process.env, NOTIFY_SOCKET: path };
    const notifier = new SystemdNotifier({
      environment,
      processId: process.pid,
      commands: new ProcessCommandRunner(environment),
      onProblem: (message) => problems.push(message),
    });
    await notifier.ready('idle: nothing to do');
    expect([await next(), await next()]).toEqual(['READY=1|STATUS=idle: nothing to do', 'BARRIER=1']);
    await notifier.stopping();
    expect(await next()).toBe('STOPPING=1');
    expect(problems).toEqual([]);
  });
});
