import { describe, expect, it } from 'vitest';
import { AgentError, errorTable, isErrorCode, reportOf } from '../../../agent/core/errors.ts';

describe('the errors table', () => {
  it.each(Object.entries(errorTable))('%s has sound columns', (code, row) => {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(row.httpStatus).toBeGreaterThanOrEqual(200);
    expect(row.httpStatus).toBeLessThan(600);
    expect([0, 1, 64, 65, 66, 69, 70, 71, 74, 75, 76, 77, 78]).toContain(row.exitCode);
    expect(row.title).toMatch(/^[A-Za-z].*[^.]$/);
    expect(row.fix).toMatch(/^[A-Za-z].*[.?]$/);
  });
});

describe('a report', () => {
  it('keeps code and message of a coded error', () => {
    expect(reportOf(new AgentError('known-bad', 'cannot install x: it is bad'))).toEqual({
      code: 'known-bad',
      message: 'cannot install x: it is bad',
    });
  });

  it('calls everything else internal, the codes of the system among it', () => {
    const error = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    expect(reportOf(error)).toEqual({ code: 'internal', message: 'no space' });
    expect(reportOf('thrown text').code).toBe('internal');
    expect(isErrorCode('toString')).toBe(false);
  });
});
