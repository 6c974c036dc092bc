import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { Journal } from '../../../agent/core/ports.ts';
import { UnavailableJournal } from '../../../agent/store/unavailable-journal.ts';

const reason = new AgentError('journal-newer', 'cannot open journal.db: it wants a newer agent');
const journal: Journal = new UnavailableJournal(reason);

const verbs: Readonly<Record<keyof Journal, () => Promise<unknown>>> = {
  load: () => journal.load(),
  save: () => journal.save({ state: { phase: 'idle' } }),
  appendEvent: () => journal.appendEvent({ atMs: 1, updateId: undefined, kind: 'any', message: 'any', details: {} }),
  updates: () => journal.updates(10),
  update: () => journal.update('u-1'),
  rollbacks: () => journal.rollbacks(10),
  rollback: () => journal.rollback('u-1'),
  events: () => journal.events(0, 10),
  idempotencyKey: () => journal.idempotencyKey('key'),
  saveIdempotencyKey: () => journal.saveIdempotencyKey('key', 'u-1', 'sha256:1'),
};

describe('a journal that is not available', () => {
  it.each(Object.entries(verbs))('rejects %s with the reason that it was given', async (_verb, ask) => {
    await expect(ask()).rejects.toBe(reason);
  });
});
