import { describe, expect, it } from 'vitest';
import { type PlanAnswer, planSchema } from '../../../agent/cli/answers.ts';
import { renderHealth } from '../../../agent/cli/render-health.ts';
import {
  renderEvent,
  renderHistory,
  renderKnownBad,
  renderRollback,
  renderRollbacks,
} from '../../../agent/cli/render-history.ts';
import { renderPlan } from '../../../agent/cli/render-plan.ts';
import { statusSchema } from '../../../agent/cli/answers.ts';
import { bootsText, renderStatus } from '../../../agent/cli/render-status.ts';
import { renderPairs, renderTable } from '../../../agent/cli/render-table.ts';
import { currentIn, digest, moved, slot, statusAnswer, updateAnswer, written } from './samples.ts';

const escape = '\u001b[31mred\u202e';

describe('the status', () => {
  it('says what runs and what boots next', () => {
    expect(bootsText(statusAnswer())).toBe('slot a runs, and boots next');
    const armed = statusAnswer({ primary: 'b', slots: [slot('a'), slot('b', { state: 'trial', triesLeft: 2 })] });
    expect(bootsText(armed)).toBe('slot a runs; slot b is tried at the next boot (2 tries left)');
    expect(bootsText(statusAnswer({ booted: undefined }))).toContain('not known');
  });

  it('shows the update under way with its phase, bytes and last error', () => {
    const lastError = { code: 'registry-unreachable', message: 'cannot fetch it: no route' } as const;
    const current = currentIn('writing', { progress: written(420), lastError });
    const text = renderStatus(statusAnswer({ phase: 'writing', current }));
    expect(text).toMatch(/^update: +u-1: registry.acme.io\/os\/edge:v2, until committed; writing: slot b, 42 %/m);
    expect(text).toContain('last error: cannot fetch it: no route');
  });

  it('shows a pause, and what was moved before it', () => {
    const current = currentIn('writing', { pausedAtMs: 1_750_000_000_000, transfer: moved });
    expect(renderStatus(statusAnswer({ phase: 'writing', current }))).toContain(
      'writing: slot b, paused at 2025-06-15 15:06:40Z, 12 MiB fetched, 3.0 MiB found on the node, ' +
        '1.0 MiB of it in place, 14 MiB written, resumed',
    );
  });

  it('shows what of the content was on the node already', () => {
    const progress = { ...written(40)!, keptBytes: 2048, copiedBytes: 1024 };
    const textOf = (shown: ReturnType<typeof written>) =>
      renderStatus(statusAnswer({ phase: 'writing', current: currentIn('writing', { progress: shown }) }));
    expect(textOf(progress)).toContain('3.0 KiB found on the node');
    expect(textOf(written(40))).not.toContain('found');
    expect(textOf({ ...progress, patchedBytes: 4096 })).toContain('3.0 KiB found on the node, 4.0 KiB out of a patch');
    expect(textOf(progress)).not.toContain('patch');
  });

  it('shows the latest image that is known to be bad, with why and since when', () => {
    const entry = (atMs: number, reason: string) => ({ digest, reason, updateId: 'u-1', atMs });
    const knownBad = [entry(0, 'hang: it hung'), entry(1_750_000_000_000, 'check-failed: web said 500')];
    expect(renderStatus(statusAnswer({ knownBad }))).toMatch(
      /^known bad: +sha256:[0-9a-f…]+ since 2025-06-15 15:06:40Z: check-failed: web said 500, and 1 more; see kaonctl known-bad$/m,
    );
    expect(renderStatus(statusAnswer())).not.toContain('known bad');
  });

  it('says what is waited for, and why the agent is degraded', () => {
    const text = renderStatus(
      statusAnswer({
        waitingFor: [{ gate: 'hold', code: 'update-held', text: 'the shop is open', untilMs: 0 }],
        degraded: [{ code: 'journal-failed', message: 'cannot write the journal: no room' }],
      }),
    );
    expect(text).toContain('waiting for:\n  - the shop is open (until 1970-01-01 00:00:00Z)\n');
    expect(text).toContain('degraded:\n  - cannot write the journal: no room (journal-failed)\n');
  });

  it('shows the machine, as far as it is known', () => {
    const known = {
      hostname: 'pole-7',
      architecture: 'arm64',
      uptimeMs: 90_000,
      memoryTotalBytes: 1024 ** 3,
      memoryAvailableBytes: 512 * 1024 ** 2,
    };
    const system = { osName: 'Hadron', osVersion: '2', kernel: '6.12' };
    const full = { ...statusAnswer(), host: { ...known, stateDirAvailableBytes: 1024 ** 2, system } };
    expect(renderStatus(full)).toContain(
      'pole-7, Hadron 2, Linux 6.12, arm64, up 1m 30s, 512 MiB of 1.0 GiB memory free, 1.0 MiB free for state\n',
    );
    expect(renderStatus({ ...statusAnswer(), host: known })).toContain('pole-7, arm64, up 1m 30s');
  });

  it('shows the status of an agent that says something else of its machine', () => {
    expect(statusSchema.parse({ ...statusAnswer(), host: { hostname: 7 } }).host).toBeUndefined();
  });

  it('tells how the last update ended', () => {
    const last = {
      updateId: 'u-0',
      kind: 'install',
      result: 'rolled-back',
      atMs: 0,
      digest,
      code: 'health-failed',
    } as const;
    expect(renderStatus(statusAnswer({ last: { ...last, message: 'web failed' } }))).toMatch(
      /^last: +install u-0 rolled-back at 1970-01-01 00:00:00Z: web failed \(health-failed\)$/m,
    );
  });

  it('has no way to move the cursor, whoever wrote its texts', () => {
    const current = currentIn('writing');
    const text = renderStatus(
      statusAnswer({
        nodeId: escape,
        compatible: escape,
        labels: { [escape]: escape },
        current: { ...current, request: { ...current.request, image: escape } },
        waitingFor: [{ gate: 'hold', code: 'update-held', text: escape, untilMs: undefined }],
        degraded: [{ code: 'internal', message: escape }],
        holdUntil: { reason: escape, untilMs: undefined },
      }),
    );
    expect(text).not.toContain('\u001b');
    expect(text).not.toContain('\u202e');
    expect(text).toContain('?[31mred?');
  });
});

describe('a plan', () => {
  const plan: PlanAnswer = planSchema.parse({
    image: 'registry.acme.io/os/edge:v2',
    digest,
    name: 'edge',
    version: '2',
    isAlreadyRunning: false,
    slot: 'b',
    trust: { rule: 'registry.acme.io/os', keyIds: ['release-1'] },
    downloadBytes: 2048,
    partitions: [{ name: 'root', layerSizeBytes: 2048, partitionSizeBytes: 8192 }],
    blockers: [],
    warnings: [],
  });

  it('shows bytes, trust and room, and that the content is not stated', () => {
    const text = renderPlan(plan);
    expect(text).toMatch(/^trusted by: +rule registry.acme.io\/os, signed with release-1$/m);
    expect(text).toMatch(/^download: +2.0 KiB at most$/m);
    expect(text).toMatch(/^write: +not stated by the image$/m);
    expect(text).toMatch(/^root +2.0 KiB +- +- +- +- +8.0 KiB$/m);
    expect(text).toMatch(/nothing stands in its way\n$/);
  });

  it('shows what each way to a partition would fetch, and the one that is taken', () => {
    const ways = { fullBytes: 2048, indexBytes: 1024, patchBytes: 100, way: 'patch' };
    const [root] = plan.partitions;
    const text = renderPlan({ ...plan, partitions: [{ ...root!, ways }] });
    expect(text).toMatch(/^PARTITION +FULL +BY INDEX +BY PATCH +TAKEN/m);
    expect(text).toMatch(/^root +2.0 KiB +1.0 KiB +100 B +patch +- +8.0 KiB$/m);
  });

  it('shows each blocker with its fix, and that a running image needs nothing', () => {
    const blockers = [{ code: 'known-bad', message: 'cannot install it: it rolled back' }];
    expect(renderPlan({ ...plan, blockers })).toContain(
      'blocked: cannot install it: it rolled back (known-bad)\n  fix: Find out why',
    );
    expect(renderPlan({ ...plan, isAlreadyRunning: true })).toContain('already running');
  });
});

describe('rollbacks', () => {
  const rollback = {
    id: 'r-1',
    updateId: 'u-1',
    at: '1970-01-01T00:00:00.000Z',
    slot: 'b',
    digest,
    image: 'registry.acme.io/os/edge:v2',
    reason: 'never-booted',
    message: 'it never came up',
    evidence: [{ kind: 'health-check', name: 'web', text: `line one\nline two ${escape}\n` }],
  };

  it('show the reason with the code of the outcome, and what each check said', () => {
    const text = renderRollback(rollback);
    expect(text).toMatch(/^reason: +never-booted \(boot-tries-exhausted\)$/m);
    expect(text).toContain('health-check web:\n  | line one\n  | line two ?[31mred?\n');
    expect(renderRollbacks([rollback, rollback]).match(/^rollback: /gm)).toHaveLength(2);
  });

  it('show the kind, the tries and the checks where the agent classified', () => {
    const kinds = { kind: 'check-failed', isInconclusive: false, tries: { armed: 4, used: 1 }, checks: ['web', 'db'] };
    const text = renderRollback({ ...rollback, ...kinds });
    expect(text).toMatch(/^kind: +check-failed$/m);
    expect(text).toMatch(/^tries: +1 of 4 used$/m);
    expect(text).toMatch(/^checks: +web, db$/m);
    const power = renderRollback({ ...rollback, kind: 'power-loss', isInconclusive: true });
    expect(power).toMatch(/^kind: +power-loss, which says nothing of the image$/m);
    expect(renderRollback(rollback)).not.toMatch(/^(kind|tries|checks):/m);
  });

  it('that have no evidence say so, and so does a node without any', () => {
    expect(renderRollback({ ...rollback, evidence: [] })).toContain('no evidence was found');
    expect(renderRollbacks([])).toBe('no rollback yet\n');
  });
});

describe('other lists', () => {
  it('say when they are empty', () => {
    expect(renderHistory([])).toBe('no update yet\n');
    expect(renderKnownBad([])).toBe('no image is known to be bad\n');
  });

  it('show an update by its result, or by the phase it is in', () => {
    const text = renderHistory([updateAnswer({ phase: 'trial' })]);
    expect(text).toMatch(/^u-1 +install +2025-06-15 15:06:40Z +operator +trial +- +- +- +registry/m);
  });

  it('show what an update fetched, and what it need not', () => {
    const text = renderHistory([updateAnswer({ phase: 'trial', transfer: moved })]);
    expect(text).toMatch(/ trial +- +12 MiB +3.0 MiB +registry/);
  });

  it('read times in either form of the wire', () => {
    const entry = { digest, reason: 'health-failed', updateId: 'u-1' };
    expect(renderKnownBad([{ ...entry, at: '1970-01-02T00:00:00.000Z' }])).toContain('1970-01-02 00:00:00Z');
    expect(renderKnownBad([{ ...entry, at: '1970-01-03T00:00:00.000Z' }])).toContain('1970-01-03 00:00:00Z');
  });

  it('show an event in one line, whatever it says', () => {
    const event = {
      sequence: 7,
      at: '1970-01-01T00:00:00.000Z',
      updateId: 'u-1',
      kind: 'slot-written',
      message: 'one\ntwo',
    };
    expect(renderEvent(event)).toBe('7 1970-01-01 00:00:00Z slot-written [u-1] one two\n');
  });
});

it('health shows what a failed check said, and nothing of one that passed', () => {
  const check = { isRequired: true, attempts: 3, durationMs: 65_000 };
  const text = renderHealth({
    verdict: 'failed',
    updateId: 'u-1',
    checks: [
      { ...check, name: 'web', status: 'failed', output: '503\nno database' },
      { ...check, name: 'disk', status: 'passed', output: 'plenty' },
    ],
  });
  expect(text).toMatch(/^health: the trial failed \(update u-1\)$/m);
  expect(text).toMatch(/^web +failed +- +yes +3 +1m 05s$/m);
  expect(text).toContain('web said:\n  | 503\n  | no database\n');
  expect(text).not.toContain('plenty');
});

it('health of a restarted agent says whose checks it shows', () => {
  expect(renderHealth({ verdict: 'unknown', checks: [] })).toBe('health: no trial ran in this boot\n');
  const check = { name: 'web', isRequired: true, status: 'passed', attempts: 1, durationMs: 5, output: '' };
  expect(renderHealth({ verdict: 'unknown', checks: [check] })).toMatch(/^health: the checks of the probation go on$/m);
});

it('status shows a probation, and the alarm of one that fails', () => {
  const probation = { updateId: 'u-1', slot: 'b', leftMs: 3_600_000 } as const;
  expect(renderStatus(statusAnswer({ probation }))).toMatch(
    /^probation: +slot b is well so far; checked for another 1h/m,
  );
  const alarm = { atMs: Date.UTC(2026, 0, 2, 3, 4, 5), message: 'check web failed' };
  expect(renderStatus(statusAnswer({ probation: { ...probation, alarm } }))).toMatch(
    /^probation: +ALARM since 2026-01-02 03:04:05.*, slot b: check web failed$/m,
  );
  expect(renderStatus(statusAnswer())).not.toContain('probation');
});

it('health shows what a check waits for, since when, and why a failure does not count', () => {
  const check = { isRequired: true, attempts: 0, durationMs: 5_000, output: '' };
  const text = renderHealth({
    verdict: 'running',
    checks: [
      { ...check, name: 'web', status: 'waiting', sinceAt: '2026-01-02T03:04:05.000Z', waitsFor: 'check database' },
      { ...check, name: 'gps', status: 'failed', excuse: 'it failed before the update, too' },
    ],
  });
  expect(text).toMatch(/^health: the checks of the trial are running$/m);
  expect(text).toMatch(/^web +waiting +2026-01-02 03:04:05/m);
  expect(text).toContain('\nweb waits for check database\n');
  expect(text).toContain('\ngps does not count: it failed before the update, too\n');
});

describe('tables', () => {
  it('are as wide as their longest cell, without blanks at the end', () => {
    expect(
      renderTable(
        ['A', 'LONG'],
        [
          ['wide cell', ''],
          ['x', 'y'],
        ],
      ),
    ).toBe('A          LONG\nwide cell  -\nx          y\n');
  });

  it('of pairs leave out what has no value', () => {
    expect(
      renderPairs([
        ['a', '1'],
        ['long', undefined],
        ['bcd', '2'],
      ]),
    ).toBe('a:   1\nbcd: 2\n');
  });
});

it('status shows since when nothing newer was offered, and that it is too long', () => {
  const offers = { quietSinceAtMs: Date.UTC(2026, 0, 2, 3, 4, 5), contactAtMs: Date.UTC(2026, 0, 3, 3, 4, 5) };
  expect(renderStatus(statusAnswer({ offers }))).toMatch(
    /^offers: +nothing newer since 2026-01-02 03:04:05Z; last verified -; last answer of a registry 2026-01-03 03:04:05Z$/m,
  );
  const alarm = { atMs: Date.UTC(2026, 1, 2, 3, 4, 5), message: 'nothing newer was offered' };
  expect(renderStatus(statusAnswer({ offers: { ...offers, alarm } }))).toMatch(
    /^offers: +ALARM since 2026-02-02 03:04:05Z: nothing newer was offered; nothing newer since/m,
  );
});
