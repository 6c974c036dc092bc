import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AgentError, errorTable, isErrorCode, reportOf } from '../../../agent/core/errors.ts';

/** Where the codes are defined; everything else uses them. */
const definitions = [
  'agent/core/errors.ts',
  'agent/core/error-codes.ts',
  'bootloader/errors.ts',
  'partitions/errors.ts',
];

function readSources(): string {
  return ['agent', 'bootloader', 'partitions']
    .flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)))
    .filter((path) => path.endsWith('.ts') && !definitions.includes(path))
    .map((path) => readFileSync(path, 'utf8'))
    .join('\n');
}

describe('the errors table', () => {
  it('has no code that nothing uses', () => {
    const sources = readSources();
    expect(Object.keys(errorTable).filter((code) => !sources.includes(`'${code}'`))).toEqual([]);
  });

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
