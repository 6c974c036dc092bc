import { describe, expect, it } from 'vitest';
import type { StatusAnswer, UpdateAnswer } from '../../../agent/cli/answers.ts';
import {
  followTurn,
  isRebootExpected,
  phaseLine,
  startOfFollowing,
  tenthLine,
} from '../../../agent/cli/follow-update.ts';
import type { CurrentUpdate, Waiting } from '../../../agent/core/control.ts';
import { phases } from '../../../agent/core/update-state.ts';
import { currentIn, request, statusAnswer, updateAnswer, written } from './samples.ts';

interface Seen {
  readonly status: StatusAnswer;
  readonly update: UpdateAnswer;
}

function seen(current: CurrentUpdate, waitingFor: readonly Waiting[] = []): Seen {
  const { phase } = current;
  return { status: statusAnswer({ phase, current, waitingFor }), update: updateAnswer({ phase, current }) };
}

/** Follows through `views`, one a second; the lines as they come without a terminal. */
function follow(views: readonly Seen[], wanted: 'staged' | 'activated' | 'committed' = 'committed') {
  let state = startOfFollowing;
  const lines: string[] = [];
  for (const [index, view] of views.entries()) {
    const turn = followTurn(state, { ...view, atMonotonicMs: index * 1000 }, wanted);
    const tenth = tenthLine(state, turn);
    lines.push(...turn.lines, ...(tenth === undefined ? [] : [tenth]));
    state = turn.state;
    if (turn.end !== undefined) return { lines, end: turn.end, turn };
  }
  return { lines, end: undefined, turn: undefined };
}

const hold: Waiting = { gate: 'hold', code: 'update-held', text: 'the shop is open', untilMs: undefined };
const ended = (outcome: NonNullable<UpdateAnswer['outcome']>): Seen => ({
  status: statusAnswer(),
  update: { ...updateAnswer(), outcome },
});

describe('following an update', () => {
  it('tells each phase once, and every tenth of the bytes', () => {
    const { lines } = follow([
      seen(currentIn('preparing', { target: undefined })),
      seen(currentIn('preparing', { target: undefined })),
      seen(currentIn('writing')),
      seen(currentIn('writing', { progress: written(50) })),
      seen(currentIn('writing', { progress: written(100) })),
      seen(currentIn('writing', { progress: written(190) })),
      seen(currentIn('writing', { progress: written(350) })),
      seen(currentIn('staged')),
    ]);
    expect(lines).toEqual([
      'preparing: resolving and verifying the image, checking the node',
      'writing: slot b',
      'writing: 10 % (100 B of 1000 B)',
      'writing: 30 % (350 B of 1000 B)',
      'staged: slot b is written and read back',
    ]);
  });

  it('tells the read-back once, and a write that began anew from its first tenth', () => {
    const readBack = { ...written(1000)!, step: 'read-back' } as const;
    const { lines } = follow([
      seen(currentIn('writing', { progress: written(500) })),
      seen(currentIn('writing', { progress: written(100) })),
      seen(currentIn('writing', { progress: written(1000) })),
      seen(currentIn('writing', { progress: readBack })),
      seen(currentIn('writing', { progress: readBack })),
    ]);
    expect(lines.slice(1)).toEqual([
      'writing: 50 % (500 B of 1000 B)',
      'writing: 10 % (100 B of 1000 B)',
      'writing: 100 % (1000 B of 1000 B)',
      'writing: reading back what was written',
    ]);
  });

  it('tells what it waits for once each, with its end', () => {
    const until: Waiting = { ...hold, text: 'the window is closed', untilMs: 1_750_000_000_000 };
    const { lines } = follow([
      seen(currentIn('staged'), [hold]),
      seen(currentIn('staged'), [hold, until]),
      seen(currentIn('staged'), [hold]),
    ]);
    expect(lines.slice(1)).toEqual([
      'waiting: the shop is open',
      'waiting: the window is closed (until 2025-06-15 15:06:40Z)',
    ]);
  });

  it('tells each pause and each resumption, and not as something that is waited for', () => {
    const needed: Waiting = { gate: 'operator', code: 'resume-needed', text: 'paused', untilMs: undefined };
    const paused = seen(currentIn('writing', { pausedAtMs: 1 }), [needed]);
    const { lines } = follow([seen(currentIn('writing')), paused, paused, seen(currentIn('writing')), paused]);
    expect(lines).toEqual([
      'writing: slot b',
      'paused by the operator; let it go on with: kaonctl resume',
      'resumed by the operator',
      'paused by the operator; let it go on with: kaonctl resume',
    ]);
  });

  it("does not tell another update's reasons", () => {
    const other = currentIn('writing', { request: { ...request, id: 'u-2' } });
    const view = { ...seen(currentIn('preparing')), status: statusAnswer({ current: other, waitingFor: [hold] }) };
    expect(follow([view]).lines).toHaveLength(1);
  });

  it.each([
    ['staged', 'staged'],
    ['staged', 'activated'],
    ['activated', 'activated'],
    ['activated', 'trial'],
  ] as const)('until %s ends when the update is %s', (wanted, phase) => {
    const { end } = follow([seen(currentIn('writing')), seen(currentIn(phase))], wanted);
    expect(end).toEqual({ kind: 'reached', phase: wanted, slot: 'b' });
  });

  it.each([
    ['staged', 'writing'],
    ['activated', 'staged'],
    ['activated', 'rolling-back'],
    ['committed', 'staged'],
    ['committed', 'committing'],
  ] as const)('until %s goes on while the update is %s', (wanted, phase) => {
    expect(follow([seen(currentIn(phase))], wanted).end).toBeUndefined();
  });

  it('ends with the outcome, whatever was wanted', () => {
    const outcome = {
      updateId: 'u-1',
      kind: 'install',
      result: 'failed',
      at: '1970-01-01T00:00:00.000Z',
      code: 'known-bad',
    };
    expect(follow([seen(currentIn('writing')), ended(outcome)], 'staged').end).toEqual({ kind: 'ended', outcome });
  });

  it('knows the rate from the second view on', () => {
    const views = [seen(currentIn('writing', { progress: written(100) }))];
    const first = followTurn(startOfFollowing, { ...views[0]!, atMonotonicMs: 0 }, 'committed');
    const next = seen(currentIn('writing', { progress: written(300) }));
    const second = followTurn(first.state, { ...next, atMonotonicMs: 2000 }, 'committed');
    expect(first.progress?.bytesPerSecond).toBeUndefined();
    expect(second.progress?.bytesPerSecond).toBe(100);
  });
});

it('a daemon that is gone is expected only where a reboot follows', () => {
  expect(phases.filter(isRebootExpected)).toEqual(['activated', 'trial']);
});

it('every phase of the machine has a sentence of its own', () => {
  const lines = phases.filter((phase) => phase !== 'idle').map((phase) => phaseLine(phase, 'b'));
  expect(new Set(lines).size).toBe(lines.length);
  expect(phaseLine('of-a-newer-agent', undefined)).toBe('of-a-newer-agent: the inactive slot');
});
