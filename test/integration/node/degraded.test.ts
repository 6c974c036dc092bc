import { execFile } from 'node:child_process';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../fakes/simulated-node.ts';
import { NodeBench } from './node-bench.ts';

const run = promisify(execFile);
const kaond = fileURLToPath(new URL('../../../package/bin/kaond.js', import.meta.url));

let bench: NodeBench;

beforeEach(async () => {
  bench = await NodeBench.open();
});

afterEach(async () => {
  await bench.close();
});

interface Status {
  readonly phase: string;
  readonly booted?: string;
  readonly degraded: readonly { readonly code: string; readonly message: string }[];
  readonly waitingFor: readonly { readonly code: string }[];
  readonly slots: readonly { readonly name: string; readonly state: string }[];
}

const status = async () => (await bench.node.read('/v1/status')) as Status;

/** Restarts the agent with what `change` did, and waits until it answers. */
async function restartAfter(change: () => Promise<unknown>): Promise<void> {
  await bench.node.endAgent('SIGTERM');
  await change();
  await bench.node.restartAgent();
  await bench.agentUp();
}

async function checkConfig(): Promise<{ readonly exitCode: number; readonly text: string }> {
  const args = [kaond, '--check-config', '--config', join(bench.folder, 'etc/kaon.yaml'), '--image-config', '/none'];
  return run(process.execPath, args).then(
    ({ stdout }) => ({ exitCode: 0, text: stdout }),
    (error: unknown) => {
      const { code, stderr } = error as { readonly code: number; readonly stderr: string };
      return { exitCode: code, text: stderr };
    },
  );
}

/** Faults of the configuration: how it is broken, the code, and what the message must name. */
const brokenConfigs: readonly (readonly [string, string, string, () => string])[] = [
  ['a key that kaon does not know', 'config-invalid', 'updates:', () => bench.config([['update:', 'updates:']])],
  [
    'a key file that is missing',
    'key-invalid',
    'nowhere.pub: it does not exist',
    () => bench.config([['release.pub', 'nowhere.pub']]),
  ],
  ['YAML that does not parse', 'config-invalid', 'kaon.yaml', () => `${bench.config()}\n  - {`],
];

describe('an agent whose configuration cannot be used', () => {
  it.each(brokenConfigs)(
    '%s: says so, goes on reading the loader, starts nothing',
    { timeout: 180_000 },
    async (_what, code, named, broken) => {
      await bench.powerOn();
      await restartAfter(() => bench.node.configure(broken()));
      const found = await status();
      expect(found.degraded).toEqual(expect.arrayContaining([expect.objectContaining({ code })]));
      expect(found.degraded[0]?.message).toContain(named.replace(/:$/, ''));
      expect(found).toMatchObject({ booted: 'a', slots: [{ name: 'a', state: 'good' }, { name: 'b' }] });
      const before = await bench.untouched();
      const refused = await bench.kaonctl('update', bench.push().reference);
      expect(refused).toMatchObject({ exitCode: 78, stderr: expect.stringContaining('agent-degraded') as string });
      expect(await bench.untouched()).toEqual(before);
      expect(await checkConfig()).toMatchObject({ exitCode: 78, text: expect.stringContaining(code) as string });
      await restartAfter(() => bench.node.configure(bench.config()));
      expect(await checkConfig()).toMatchObject({ exitCode: 0 });
      expect(await bench.goodUpdateWorks()).toBe(true);
    },
  );

  it('ends a trial by a failed check, and the rollback names the reason', { timeout: 180_000 }, async () => {
    await bench.powerOn();
    const image = bench.push();
    expect((await bench.kaonctl('update', image.reference, '--until', 'activated')).exitCode).toBe(0);
    await bench.node.configure(bench.config([['update:', 'updates:']]));
    await bench.kaonctl('reboot');
    const rollbacks = await until('the rollback', 60_000, async () => {
      const found = (await bench.node.read('/v1/rollbacks')) as
        readonly { message: string; reason: string }[] | undefined;
      return bench.node.booted === 'a' && found?.length === 1 ? found : undefined;
    });
    expect(rollbacks[0]).toMatchObject({
      reason: 'health-failed',
      message: expect.stringContaining('config-invalid') as string,
    });
    expect(bench.node.boots).toEqual(['a:what is in a', 'b:what is in b', 'a:what is in a']);
    expect(await bench.loader()).toMatchObject({ ORDER: 'A B', B_OK: '0', kaon_trial: '-' });
  });

  it('stays up without any configuration, and ends in order when it is told to', { timeout: 180_000 }, async () => {
    await rm(join(bench.folder, 'etc/kaon.yaml'));
    await bench.node.powerOn();
    await until('the log', 60_000, async () => ((await bench.node.log()).includes('"degraded: ') ? true : undefined));
    await bench.node.endAgent('SIGTERM');
    expect(await bench.node.log()).not.toContain('"level":60');
  });
});

describe('an agent whose state cannot be used', () => {
  it('a journal of a newer agent: degraded, and the file is left as it is', { timeout: 180_000 }, async () => {
    await bench.powerOn();
    const file = join(bench.folder, 'state/journal.db');
    const setReader = (version: string) => {
      const database = new Database(file);
      database.prepare("UPDATE meta SET value = ? WHERE key = 'minimumReader'").run(version);
      database.close();
    };
    await restartAfter(async () => setReader('99'));
    expect((await status()).degraded).toEqual([expect.objectContaining({ code: 'journal-newer' })]);
    expect(await status()).toMatchObject({ booted: 'a' });
    const refused = await bench.kaonctl('update', bench.push().reference);
    expect(refused.exitCode).toBe(78);
    await restartAfter(async () => setReader('1'));
    expect(await bench.goodUpdateWorks()).toBe(true);
  });

  it('a damaged journal: made anew from the loader, and said', { timeout: 180_000 }, async () => {
    await bench.powerOn();
    await restartAfter(async () => {
      for (const suffix of ['-wal', '-shm']) await rm(join(bench.folder, `state/journal.db${suffix}`), { force: true });
      await writeFile(join(bench.folder, 'state/journal.db'), 'not a database at all'.repeat(500));
    });
    const events = (await bench.node.read('/v1/events?limit=1000')) as readonly { kind: string; message: string }[];
    expect(events.find(({ kind }) => kind === 'journal-rebuilt')?.message).toContain('the journal was damaged');
    expect((await status()).degraded).toEqual([]);
    expect(await bench.goodUpdateWorks()).toBe(true);
  });

  it('security facts that are lost: updates hold until an operator confirms', { timeout: 180_000 }, async () => {
    await bench.powerOn();
    // The first write makes the copies.
    expect(await bench.goodUpdateWorks()).toBe(true);
    await restartAfter(async () => {
      for (const copy of ['facts.0', 'facts.1']) await rm(join(bench.folder, 'state', copy), { force: true });
    });
    expect((await status()).waitingFor).toEqual([expect.objectContaining({ code: 'facts-lost' })]);
    const refused = await bench.kaonctl('update', bench.push().reference);
    expect(refused).toMatchObject({ exitCode: 75, stderr: expect.stringContaining('facts-lost') as string });
    expect((await bench.kaonctl('hold', 'clear', 'facts-lost')).exitCode).toBe(0);
    expect((await status()).waitingFor).toEqual([]);
    expect(await bench.goodUpdateWorks()).toBe(true);
  });

  it('a state directory that is none: state-dir-invalid', { timeout: 180_000 }, async () => {
    const file = join(bench.folder, 'a-file');
    await writeFile(file, '');
    await bench.node.configure(bench.config([[`${bench.folder}/state`, file]]));
    await bench.powerOn();
    expect((await status()).degraded).toEqual(
      expect.arrayContaining([expect.objectContaining({ code: 'state-dir-invalid' })]),
    );
    expect((await bench.kaonctl('update', bench.push().reference)).exitCode).toBe(78);
    await restartAfter(() => bench.node.configure(bench.config()));
    expect(await bench.goodUpdateWorks()).toBe(true);
  });
});

describe('a node that is not ready', () => {
  it(
    'a slot’s device that is missing: slot-device-unreadable, the booted slot is still served',
    { timeout: 180_000 },
    async () => {
      await bench.powerOn();
      const device = join(bench.folder, 'slot-b.img');
      await rename(device, `${device}.away`);
      const refused = await bench.kaonctl('update', bench.push().reference);
      expect(refused.stderr).toContain(`cannot find device ${device}`);
      expect(refused).toMatchObject({
        exitCode: 74,
        stderr: expect.stringContaining('slot-device-unreadable') as string,
      });
      expect(await status()).toMatchObject({ booted: 'a', degraded: [{ code: 'slot-device-unreadable' }] });
      await rename(`${device}.away`, device);
      expect(await bench.goodUpdateWorks()).toBe(true);
    },
  );

  it('a booted slot that is not proven in this boot: booted-slot-unproven', { timeout: 180_000 }, async () => {
    await bench.powerOn();
    await bench.setLoader('A_LEFT', '3');
    const before = await bench.untouched();
    const refused = await bench.kaonctl('update', bench.push().reference);
    expect(refused).toMatchObject({ exitCode: 75, stderr: expect.stringContaining('booted-slot-unproven') as string });
    expect(await bench.untouched()).toEqual(before);
    await bench.setLoader('A_LEFT', '4');
    expect(await bench.goodUpdateWorks()).toBe(true);
  });
});
