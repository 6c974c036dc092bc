import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseStrictly, runProgram } from '../../../agent/compose/run-program.ts';
import { AgentError } from '../../../agent/core/errors.ts';

let lines: string[];
beforeEach(() => {
  lines = [];
});

const run = (end: (options: { readonly name: string }) => Promise<number>) =>
  runProgram({
    log: pino({ base: null }, { write: (line) => void lines.push(line) }),
    version: '1.0.0',
    help: '',
    parse: () => ({ name: 'parsed' }),
    run: end,
  });

describe('the run of a daemon', () => {
  it('ends with the exit code of what it ran by its options', async () => {
    expect(await run(async ({ name }) => (name === 'parsed' ? 3 : 4))).toBe(3);
    expect(lines).toEqual([]);
  });

  it('ends with the exit code of the error that ended it, which is logged with its code', async () => {
    const exitCode = await run(async () => {
      throw new AgentError('config-invalid', 'cannot read kaon.yaml: it is gone');
    });
    expect(exitCode).toBe(78);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({ code: 'config-invalid', msg: 'cannot read kaon.yaml: it is gone' }),
    ]);
  });

  it('calls an error without a code of ours a bug', async () => {
    const exitCode = await run(async () => {
      throw new TypeError('x is undefined');
    });
    expect(exitCode).toBe(70);
    expect(lines).toEqual([expect.stringContaining('"code":"internal"')]);
  });
});

describe('arguments that cannot be parsed', () => {
  it('are usage-invalid in the name of the program, with the reason kept', () => {
    const cause = new Error("Unknown option '--nonsense'");
    const parse = () => {
      throw cause;
    };
    expect(() => parseStrictly('kaond', parse)).toThrow(
      expect.objectContaining({
        code: 'usage-invalid',
        message: "cannot start kaond: Unknown option '--nonsense'; see --help",
        cause,
      }),
    );
  });
});
