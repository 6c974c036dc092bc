import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAfterVerdict, createChecks } from '../../../agent/health/create-checks.ts';
import { parseDisabled } from '../../../agent/health/greenboot-scripts.ts';
import { ProcessCommandRunner } from '../../../agent/host/process-command-runner.ts';

const never = new AbortController().signal;
const commands = new ProcessCommandRunner();
let root = '';
const lib = () => join(root, 'lib');
const etc = () => join(root, 'etc');

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'kaon-greenboot-'));
});
afterEach(() => rm(root, { recursive: true }));

/** A script that notes its name and ends with `exitCode`; it may not be executed, as greenboot does not ask for it. */
async function put(directory: string, folder: string, name: string, exitCode = 0): Promise<void> {
  await mkdir(join(directory, folder), { recursive: true });
  const text = `echo "${name}" >> "${root}/ran"\necho "said by ${name}"\nexit ${exitCode}\n`;
  await writeFile(join(directory, folder, name), text, { mode: 0o644 });
}

async function ran(): Promise<readonly string[]> {
  const { output } = await commands.run(['/bin/cat', join(root, 'ran')], never);
  return output.split('\n');
}

function settings() {
  const order = { startDelayMs: 0, passes: 1, after: [], baseline: 'none' } as const;
  const times = { timeoutMs: 1000, intervalMs: 1000, retries: undefined };
  return {
    kind: 'greenboot',
    name: 'greenboot',
    isRequired: true,
    directories: [lib(), etc()],
    ...times,
    ...order,
  } as const;
}

function checks() {
  const ports = {
    commands,
    host: { read: async () => Promise.reject(new Error('there is no host')) },
    registry: { probe: async () => Promise.reject(new Error('there is no registry')) },
  };
  const [required, wanted] = createChecks([settings()], ports);
  return { required: required!.check, wanted: wanted!.check };
}

describe('greenboot checks', () => {
  it('run the scripts by name, one directory after the other, and nothing that is no script', async () => {
    await put(etc(), 'check/required.d', '00_etc.sh');
    await put(lib(), 'check/required.d', '20_lib.sh');
    await put(lib(), 'check/required.d', '10_lib.sh');
    await put(lib(), 'check/required.d', 'README');
    expect(await checks().required.run(never)).toEqual({
      isPassed: true,
      output: '3 scripts of check/required.d passed',
    });
    expect(await ran()).toEqual(['10_lib.sh', '20_lib.sh', '00_etc.sh']);
  });

  it('fail with the first required script that fails, and run none after it', async () => {
    await put(lib(), 'check/required.d', '1.sh', 3);
    await put(lib(), 'check/required.d', '2.sh');
    const { isPassed, output } = await checks().required.run(never);
    expect(isPassed).toBe(false);
    expect(output).toBe(`${lib()}/check/required.d/1.sh: exit code 3: said by 1.sh`);
    expect(await ran()).toEqual(['1.sh']);
  });

  it('run every wanted script, and are advisory', async () => {
    await put(lib(), 'check/wanted.d', '1.sh', 1);
    await put(etc(), 'check/wanted.d', '2.sh', 1);
    const { wanted } = checks();
    expect(wanted).toMatchObject({ name: 'greenboot-wanted', isRequired: false });
    const { isPassed, output } = await wanted.run(never);
    expect([isPassed, output.split('\n').length]).toEqual([false, 2]);
  });

  it('leave out what greenboot.conf disables', async () => {
    await put(lib(), 'check/required.d', '1.sh', 1);
    await put(lib(), 'check/required.d', '2.sh');
    await mkdir(etc());
    await writeFile(join(etc(), 'greenboot.conf'), 'DISABLED_HEALTHCHECKS=("1.sh")\n');
    expect((await checks().required.run(never)).isPassed).toBe(true);
  });

  it('fail where no directory has required checks, as greenboot does; wanted ones may be absent', async () => {
    expect(await checks().required.run(never)).toMatchObject({ isPassed: false });
    expect(await checks().wanted.run(never)).toMatchObject({ isPassed: true });
    await mkdir(join(etc(), 'check/required.d'), { recursive: true });
    expect(await checks().required.run(never)).toMatchObject({ isPassed: true });
  });

  it('are followed by the scripts of green.d or red.d, all of them', async () => {
    await put(lib(), 'green.d', 'green.sh', 1);
    await put(etc(), 'green.d', 'more.sh');
    await put(etc(), 'red.d', 'red.sh');
    const [act] = createAfterVerdict([settings()], { commands });
    await act!(true, never);
    expect(await ran()).toEqual(['green.sh', 'more.sh']);
    await act!(false, never);
    expect((await ran()).slice(2)).toEqual(['red.sh']);
  });
});

describe('greenboot.conf', () => {
  it.each([
    ['DISABLED_HEALTHCHECKS=("a.sh" \'b.sh\' c.sh)', ['a.sh', 'b.sh', 'c.sh']],
    ['DISABLED_HEALTHCHECKS=(\n  "a.sh"\n  "b.sh"\n)', ['a.sh', 'b.sh']],
    ['# DISABLED_HEALTHCHECKS=("a.sh")', []],
    ['DISABLED_HEALTHCHECKS=("a.sh")\nDISABLED_HEALTHCHECKS=()', []],
    ['GREENBOOT_MAX_BOOT_ATTEMPTS=3', []],
    ['DISABLED_HEALTHCHECKS=("a.sh"', []],
  ])('%j disables %j', (conf, names) => {
    expect(parseDisabled(conf)).toEqual(names);
  });
});
