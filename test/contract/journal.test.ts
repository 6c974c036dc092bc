import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Deployment, Journal, RollbackRecord } from '../../agent/core/ports.ts';
import type { Outcome, UpdateRequest, UpdateState } from '../../agent/core/update-state.ts';
import { rowLimits } from '../../agent/store/record-codec.ts';
import { SqliteJournal } from '../../agent/store/sqlite-journal.ts';
import { MemoryJournal } from '../fakes/memory-journal.ts';

interface Subject {
  readonly journal: Journal;
  /** The agent is killed and started again. */
  readonly restart: () => Promise<Journal>;
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function openSqlite(): Subject {
  const directory = mkdtempSync(join(tmpdir(), 'kaon-journal-'));
  const path = join(directory, 'journal.sqlite');
  let journal = new SqliteJournal({ path });
  cleanups.push(() => {
    journal.close();
    rmSync(directory, { recursive: true });
  });
  return {
    journal,
    restart: async () => {
      journal.close();
      journal = new SqliteJournal({ path });
      return journal;
    },
  };
}

function openMemory(): Subject {
  const journal = new MemoryJournal();
  return { journal, restart: async () => journal };
}

function requestOf(id: string): UpdateRequest {
  return {
    id,
    kind: 'install',
    image: 'registry.acme.io/os:2',
    from: undefined,
    until: 'committed',
    requestedAtMs: 1000,
    requestedBy: 'operator',
  };
}

const target = {
  slot: 'b',
  previous: 'a',
  digest: `sha256:${'1'.repeat(64)}`,
  resolvedDigest: undefined,
  version: '2',
  rollbackIndex: 7,
  keyIds: ['release-1'],
  rule: 'registry.acme.io/os',
} as const;

const activeOf = (id: string) => ({ update: requestOf(id), target, isRearmed: false });

const states: readonly UpdateState[] = [
  { phase: 'idle' },
  { phase: 'idle', last: outcomeOf('u-1') },
  {
    phase: 'preparing',
    update: requestOf('u-1'),
    retry: { attempts: 2, retryAtMs: 5, last: { code: 'registry-unreachable', message: 'cannot reach it' } },
  },
  { phase: 'preparing', update: requestOf('u-1'), pause: { atMs: 7 } },
  { phase: 'writing', ...activeOf('u-1') },
  { phase: 'writing', ...activeOf('u-1'), pause: { atMs: 7 } },
  { phase: 'staged', ...activeOf('u-1') },
  { phase: 'staged', ...activeOf('u-1'), pause: { atMs: 7 } },
  { phase: 'activating', ...activeOf('u-1') },
  { phase: 'activated', isRebootAsked: true, ...activeOf('u-1') },
  { phase: 'trial', bootId: 'boot-1', deadlineMonotonicMs: 600_000, ...activeOf('u-1') },
  { phase: 'committing', ...activeOf('u-1') },
  { phase: 'cancelling', update: requestOf('u-1'), target: undefined },
  { phase: 'cancelling', update: requestOf('u-1'), target },
  {
    phase: 'rolling-back',
    ...activeOf('u-1'),
    reason: 'health-failed',
    message: 'required health check failed: web',
    evidence: [{ kind: 'health-check', name: 'web', text: '503' }],
    isTargetBooted: true,
    step: 'record',
  },
];

function outcomeOf(updateId: string): Outcome {
  return { updateId, kind: 'install', result: 'failed', atMs: 9, digest: undefined, code: 'known-bad', message: 'no' };
}

function rollbackOf(id: string): RollbackRecord {
  return {
    id,
    updateId: 'u-1',
    atMs: 3,
    slot: 'b',
    digest: target.digest,
    image: 'registry.acme.io/os:2',
    reason: 'never-booted',
    message: 'it never came up',
    evidence: [{ kind: 'loader', name: 'slot b', text: '0 of 4 tries left' }],
  };
}

const deployment: Deployment = {
  slot: 'b',
  digest: target.digest,
  image: 'registry.acme.io/os:2',
  version: undefined,
  rollbackIndex: 7,
  keyIds: ['release-1'],
  rule: undefined,
  updateId: 'u-1',
  writtenAtMs: 5,
  committedAtMs: undefined,
};

const eventOf = (kind: string) => ({ atMs: 1, updateId: 'u-1', kind, message: kind, details: { n: 1 } });

describe.each([
  ['SqliteJournal', openSqlite],
  ['MemoryJournal', openMemory],
])('a journal, as %s', (_name, open) => {
  it('is empty at first', async () => {
    const { journal } = open();
    expect(await journal.load()).toEqual({ state: undefined, deployments: {}, boots: [], rebuiltBecause: undefined });
    expect(await journal.updates(10)).toEqual([]);
    expect(await journal.update('u-1')).toBeUndefined();
    expect(await journal.rollbacks(10)).toEqual([]);
    expect(await journal.rollback('r-1')).toBeUndefined();
    expect(await journal.events(0, 10)).toEqual([]);
    expect(await journal.idempotencyKey('k')).toBeUndefined();
  });

  it.each(states.map((state) => [JSON.stringify(state).slice(0, 40), state] as const))(
    'gives back the state %s after a restart',
    async (_text, state) => {
      const { journal, restart } = open();
      await journal.save({ state: { phase: 'idle' } });
      await journal.save({ state });
      expect((await (await restart()).load()).state).toEqual(state);
    },
  );

  it('keeps everything of one save', async () => {
    const { journal, restart } = open();
    const boot = { bootId: 'boot-1', slot: 'a', firstSeenAtMs: 1, isEndedCleanly: false } as const;
    await journal.save({
      state: { phase: 'idle' },
      request: requestOf('u-1'),
      outcome: outcomeOf('u-1'),
      deployment,
      rollback: rollbackOf('r-1'),
      boot,
    });
    const again = await restart();
    expect(await again.load()).toEqual({
      state: { phase: 'idle' },
      deployments: { b: deployment },
      boots: [boot],
      rebuiltBecause: undefined,
    });
    expect(await again.update('u-1')).toEqual({ request: requestOf('u-1'), outcome: outcomeOf('u-1') });
    expect(await again.rollback('r-1')).toEqual(rollbackOf('r-1'));
  });

  it('removes a deployment before it records another', async () => {
    const { journal } = open();
    await journal.save({ deployment });
    await journal.save({ removeDeployment: 'b' });
    expect((await journal.load()).deployments).toEqual({});
    await journal.save({ removeDeployment: 'b', deployment });
    expect((await journal.load()).deployments).toEqual({ b: deployment });
  });

  it('changes a record that it has in place', async () => {
    const { journal } = open();
    const boots = ['boot-1', 'boot-2'].map(
      (bootId) => ({ bootId, slot: 'a', firstSeenAtMs: 1, isEndedCleanly: false }) as const,
    );
    for (const boot of boots) await journal.save({ boot });
    await journal.save({ boot: { ...boots[0]!, isEndedCleanly: true } });
    expect((await journal.load()).boots.map(({ bootId, isEndedCleanly }) => [bootId, isEndedCleanly])).toEqual([
      ['boot-1', true],
      ['boot-2', false],
    ]);
    await journal.save({ rollback: rollbackOf('r-1') });
    await journal.save({ rollback: { ...rollbackOf('r-1'), message: 'again' } });
    expect((await journal.rollbacks(5)).map(({ message }) => message)).toEqual(['again']);
  });

  it('keeps the cause of a rollback, and reads the record of an agent that did not classify or knows more kinds', async () => {
    const { journal } = open();
    const cause = { kind: 'hang', isInconclusive: false, tries: { armed: 4, used: 4 }, checks: ['web'] } as const;
    await journal.save({ rollback: { ...rollbackOf('r-1'), ...cause } });
    expect(await journal.rollback('r-1')).toEqual({ ...rollbackOf('r-1'), ...cause });
    await journal.save({ rollback: rollbackOf('r-2') });
    expect(await journal.rollback('r-2')).toEqual(rollbackOf('r-2'));
    const newer = { ...rollbackOf('r-3'), ...cause, kind: 'of-a-newer-agent', since: 2 } as unknown as RollbackRecord;
    await journal.save({ rollback: newer });
    expect(await journal.rollback('r-3')).toMatchObject({ kind: 'trial-lost', message: newer.message, since: 2 });
  });

  it('keeps what an update moved beside its record, whatever is saved of the update later', async () => {
    const { journal } = open();
    const moved = { fetchedBytes: 5, keptBytes: 1, copiedBytes: 2, writtenBytes: 7, isResumed: true };
    await journal.save({
      request: requestOf('u-1'),
      transfer: { updateId: 'u-1', moved: { ...moved, fetchedBytes: 4 } },
    });
    await journal.save({ transfer: { updateId: 'u-1', moved } });
    await journal.save({ state: { phase: 'idle', last: outcomeOf('u-1') }, outcome: outcomeOf('u-1') });
    await journal.save({ request: requestOf('u-2') });
    expect(await journal.update('u-1')).toMatchObject({ outcome: { result: 'failed' }, transfer: moved });
    expect(await journal.update('u-2')).toMatchObject({ transfer: undefined });
    expect((await journal.updates(10)).map(({ transfer }) => transfer)).toEqual([undefined, moved]);
  });

  it('pages updates from the newest', async () => {
    const { journal } = open();
    for (const id of ['u-1', 'u-2', 'u-3', 'u-4']) await journal.save({ request: requestOf(id) });
    await journal.save({ outcome: outcomeOf('u-1') });
    const ids = async (limit: number, beforeId?: string) =>
      (await journal.updates(limit, beforeId)).map(({ request }) => request.id);
    expect(await ids(2)).toEqual(['u-4', 'u-3']);
    expect(await ids(2, 'u-3')).toEqual(['u-2', 'u-1']);
    expect(await ids(2, 'u-1')).toEqual([]);
    expect(await ids(2, 'nobody')).toEqual([]);
  });

  it('records an update that only the state names, and follows its request', async () => {
    const { journal } = open();
    await journal.save({ state: { phase: 'preparing', update: { ...requestOf('u-1'), until: 'staged' } } });
    await journal.save({ state: { phase: 'staged', ...activeOf('u-1') } });
    expect((await journal.update('u-1'))?.request.until).toBe('committed');
  });

  it('keeps the end of an update whose beginning is lost', async () => {
    const { journal } = open();
    await journal.save({ outcome: outcomeOf('found-1') });
    expect(await journal.update('found-1')).toMatchObject({
      request: { id: 'found-1', image: 'unknown' },
      outcome: { code: 'known-bad' },
    });
  });

  it('numbers events and gives those after a number, oldest first', async () => {
    const { journal, restart } = open();
    for (const kind of ['one', 'two', 'three']) await journal.appendEvent(eventOf(kind));
    await journal.save({ state: { phase: 'idle' } });
    const again = await restart();
    expect(await again.appendEvent(eventOf('four'))).toEqual({ ...eventOf('four'), sequence: 4 });
    expect((await again.events(1, 2)).map(({ sequence, kind }) => [sequence, kind])).toEqual([
      [2, 'two'],
      [3, 'three'],
    ]);
    expect(await again.events(3, 10)).toEqual([{ ...eventOf('four'), sequence: 4 }]);
  });

  it('leaves out the details of an event that are too large', async () => {
    const { journal } = open();
    await journal.appendEvent({ ...eventOf('large'), details: { text: 'x'.repeat(100_000) } });
    expect(JSON.stringify(await journal.events(0, 1)).length).toBeLessThan(1000);
  });

  it('remembers idempotency keys', async () => {
    const { journal, restart } = open();
    await journal.saveIdempotencyKey('k', 'u-1', 'sha256:1');
    expect(await (await restart()).idempotencyKey('k')).toEqual({ updateId: 'u-1', bodyDigest: 'sha256:1' });
  });

  it('keeps no more boots than its limit, the newest', async () => {
    const { journal } = open();
    for (let n = 1; n <= rowLimits.boots + 3; n++) {
      await journal.save({ boot: { bootId: `boot-${n}`, slot: 'a', firstSeenAtMs: n, isEndedCleanly: true } });
    }
    const { boots } = await journal.load();
    expect(boots).toHaveLength(rowLimits.boots);
    expect(boots[0]?.bootId).toBe('boot-4');
  });
});
