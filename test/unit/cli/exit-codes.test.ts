import { describe, expect, it } from 'vitest';
import { problemError } from '../../../agent/cli/client.ts';
import { CliError, exitCodeMeanings, exitCodeOf, failureOf } from '../../../agent/cli/exit-codes.ts';
import { explanationOf, renderExplanation } from '../../../agent/cli/render-explain.ts';
import { AgentError, type ErrorCode, errorTable, isErrorCode } from '../../../agent/core/errors.ts';

const codes = Object.keys(errorTable).filter((code): code is ErrorCode => isErrorCode(code));

describe('exit codes', () => {
  it('of all errors have a meaning in words', () => {
    expect(codes.filter((code) => exitCodeMeanings[exitCodeOf(code)] === undefined)).toEqual([]);
  });

  it('are those of the one table, and 1 for a code of a newer agent', () => {
    expect(exitCodeOf('known-bad')).toBe(65);
    expect(exitCodeOf('already-running')).toBe(0);
    expect(exitCodeOf('of-a-newer-agent')).toBe(1);
    expect(exitCodeOf(undefined)).toBe(1);
  });
});

describe('a failure', () => {
  it('has the fix of the table unless there is a better one', () => {
    expect(failureOf(new AgentError('update-held', 'cannot start: held'))).toMatchObject({
      code: 'update-held',
      exitCode: 75,
      fix: errorTable['update-held'].fix,
    });
    expect(failureOf(new CliError('update-held', 'cannot start: held', { fix: 'Wait.' })).fix).toBe('Wait.');
  });

  it('that carries no code of ours is internal', () => {
    expect(failureOf(new TypeError('x is not a function'))).toMatchObject({ code: 'internal', exitCode: 70 });
    expect(failureOf('text')).toMatchObject({ code: 'internal', message: 'text', details: {} });
  });

  it('of a newer kaond keeps its code and its fix', () => {
    const text = JSON.stringify({ code: 'quota-exceeded', detail: 'cannot stage: no quota', fix: 'Buy some.' });
    const answer = { status: 409, etag: undefined, contentType: 'application/problem+json', text };
    expect(failureOf(problemError(answer, { method: 'POST', path: '/v1/updates' }))).toEqual({
      code: 'quota-exceeded',
      message: 'cannot stage: no quota',
      fix: 'Buy some.',
      details: {},
      exitCode: 1,
    });
  });

  it('of something else at the socket says that it is not kaond', () => {
    const answer = { status: 502, etag: undefined, contentType: 'text/html', text: '<html>' };
    expect(problemError(answer, { method: 'GET', path: '/v1/status' }).message).toContain('not kaond');
  });
});

it('explains every code with title, fix, exit code and HTTP status', () => {
  for (const code of codes) {
    const text = renderExplanation(explanationOf(code));
    const { title, fix, exitCode, httpStatus } = errorTable[code];
    expect(text).toContain(title);
    expect(text).toContain(fix);
    expect(text).toMatch(new RegExp(`^exit code: +${exitCode} \\(`, 'm'));
    expect(text).toMatch(new RegExp(`^HTTP status: +${httpStatus}$`, 'm'));
  }
});
