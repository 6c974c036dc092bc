import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { buildProgram, runCli } from '../../../agent/cli/program.ts';
import { RecordingIo, testDeps } from './recording-io.ts';

function pathsBelow(command: Command, path: readonly string[] = []): readonly (readonly string[])[] {
  return command.commands.flatMap((child) => {
    const childPath = [...path, child.name()];
    return [childPath, ...pathsBelow(child, childPath)];
  });
}

const program = await buildProgram({ io: new RecordingIo(), deps: testDeps(), exitCode: 0 });
const paths = pathsBelow(program);

async function run(...argv: readonly string[]) {
  const io = new RecordingIo();
  return { io, exitCode: await runCli(argv, io, testDeps()) };
}

describe('help', () => {
  it.each(paths.map((path) => path.join(' ')))(
    'of %s describes it, has an example of it, and exits 0',
    async (path) => {
      const { io, exitCode } = await run(...path.split(' '), '--help');
      expect(exitCode).toBe(0);
      expect(io.stderr).toBe('');
      const [, description = ''] = io.stdout.split('\n\n');
      expect(description.length).toBeGreaterThan(10);
      expect(io.stdout).toMatch(new RegExp(`\\nExamples?:\\n {2}\\$ kaonctl ${path}( |\\n)`));
      expect(io.stdout).toContain('--json');
    },
  );

  it('has every command of the contract', () => {
    const names = paths.map((path) => path.join(' '));
    for (const name of [
      ...['status', 'plan', 'update', 'stage', 'activate', 'reboot', 'cancel', 'pause', 'resume'],
      ...['rollback', 'slots', 'mark good'],
      ...['mark bad', 'history', 'rollbacks', 'rollbacks show', 'health', 'known-bad', 'known-bad clear'],
      ...['rate-limit', 'rate-limit set', 'rate-limit off', 'rate-limit clear'],
      ...['hold', 'hold set', 'hold clear', 'events', 'trigger send', 'trigger sign', 'init', 'doctor', 'explain'],
      ...['keygen', 'trust explain', 'image build', 'image push', 'image sign', 'image inspect', 'image verify'],
    ]) {
      expect(names).toContain(name);
    }
  });

  it('has examples that the program itself can read', () => {
    const examples = paths.flatMap((path) => {
      const text: string[] = [];
      const command = path.reduce<Command>((at, name) => at.commands.find((one) => one.name() === name)!, program);
      command.configureOutput({ writeOut: (piece) => text.push(piece) }).outputHelp();
      return [...text.join('').matchAll(/^ {2}\$ kaonctl (.*)$/gm)].map(([, example = '']) => example);
    });
    expect(examples.length).toBeGreaterThan(paths.length);
    for (const example of examples) {
      const options = [...example.matchAll(/ (--[a-z-]+)/g)].map(([, option]) => option);
      const known = paths
        .filter((path) => example.startsWith(path.join(' ')))
        .flatMap(
          (path) =>
            path.reduce<Command>((at, name) => at.commands.find((one) => one.name() === name)!, program).options,
        )
        .map(({ long }) => long);
      expect(options.filter((option) => !known.includes(option))).toEqual([]);
    }
  });
});

describe('a command line that is wrong', () => {
  it.each([
    [['updat'], 'Did you mean update?'],
    [['status', '--wach'], 'Did you mean --watch?'],
    [['image', 'sing', 'x'], 'Did you mean sign?'],
  ])('%j exits 64 and suggests', async (argv, fix) => {
    const { io, exitCode } = await run(...argv);
    expect(exitCode).toBe(64);
    expect(io.stdout).toBe('');
    expect(io.stderr).toMatch(/^kaonctl: cannot read the command line: /);
    expect(io.stderr).toContain(`fix: ${fix}`);
    expect(io.stderr).toContain('code: usage-invalid');
  });

  it.each([
    [['plan']],
    [['plan', 'one', 'two']],
    [['update', 'image', '--until', 'later']],
    [['history', '--limit', '0']],
    [['hold', 'clear', 'everything']],
    [['rate-limit', 'set', '4MiB']],
    [['rate-limit', 'set', '1KiB/s']],
    [['keygen', '--output', 'x', '--algorithm', 'rsa']],
    [['image', 'build', '--name', 'x']],
    [['image']],
    [[]],
  ])('%j exits 64', async (argv) => {
    expect((await run(...argv)).exitCode).toBe(64);
  });

  it('is one JSON value on stdout with --json', async () => {
    const { io, exitCode } = await run('plan', '--json');
    expect(exitCode).toBe(64);
    expect(io.json()).toMatchObject({ error: { code: 'usage-invalid', details: {} } });
  });

  it('cannot steer the terminal', async () => {
    const { io } = await run('\u001b[2Jx');
    expect(io.stderr).not.toContain('\u001b');
  });
});

describe('what needs neither daemon nor network', () => {
  it('prints the version, which image build has an option of the same name for', async () => {
    const { io, exitCode } = await run('--version');
    expect([exitCode, io.stdout]).toEqual([0, '1.2.3\n']);
    const missing = await run('image', 'build', '--version', '2');
    expect(missing.exitCode).toBe(64);
  });

  it('explains a code, lists all of them, and suggests for one that is none', async () => {
    expect((await run('explain', 'known-bad')).io.stdout).toContain('exit code:   65');
    expect((await run('explain')).io.stdout).toMatch(/^130 +Ctrl-C/m);
    expect((await run('explain', '--json')).io.json()).toContainEqual(expect.objectContaining({ code: 'internal' }));
    const unknown = await run('explain', 'hash-mismatch');
    expect(unknown.exitCode).toBe(64);
    expect(unknown.io.stderr).toContain('digest-mismatch');
  });
});
