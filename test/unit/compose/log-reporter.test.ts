import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { LogReporter } from '../../../agent/compose/log-reporter.ts';

describe('the log of events', () => {
  it('has one line an event, with its kind, its update and its details', () => {
    const lines: string[] = [];
    const reporter = new LogReporter(pino({ base: null }, { write: (line) => void lines.push(line) }));
    const event = { atMs: 5, updateId: 'u-1', kind: 'update-started', message: 'update u-1 started' };
    reporter.report({ ...event, details: { image: 'r.io/os:v2' } });
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({
        event: 'update-started',
        updateId: 'u-1',
        details: { image: 'r.io/os:v2' },
        msg: 'update u-1 started',
      }),
    ]);
  });
});
