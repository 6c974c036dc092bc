import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import type { EventRecord } from '../../../agent/core/ports.ts';
import { EventLog } from '../../../agent/update/event-log.ts';
import { MemoryJournal } from '../../fakes/memory-journal.ts';
import { update } from '../core/samples.ts';

function event(kind: string): Omit<EventRecord, 'sequence'> {
  return { atMs: 1, updateId: undefined, kind, message: kind, details: {} };
}

/** A journal whose events can't be stored while it is full. */
class FullJournal extends MemoryJournal {
  isFull = false;

  override async appendEvent(one: Omit<EventRecord, 'sequence'>): Promise<EventRecord> {
    if (this.isFull) throw new AgentError('journal-failed', 'cannot write the journal: ENOSPC');
    return super.appendEvent(one);
  }
}

function logOver(journal: FullJournal): { log: EventLog; heard: string[]; faults: unknown[] } {
  const faults: unknown[] = [];
  const heard: string[] = [];
  const log = new EventLog(journal, (error) => faults.push(error));
  log.onEvent(({ sequence, kind }) => heard.push(`${sequence} ${kind}`));
  return { log, heard, faults };
}

describe('the event log', () => {
  it('stores events in their order', async () => {
    const journal = new FullJournal();
    const { log, heard } = logOver(journal);
    for (const kind of ['one', 'two', 'three']) log.report(event(kind));
    await log.flush();
    expect((await journal.events(0, 10)).map(({ kind }) => kind)).toEqual(['one', 'two', 'three']);
    expect(heard).toEqual(['1 one', '2 two', '3 three']);
  });

  it('tells events that cannot be stored without a number, and goes on', async () => {
    const journal = new FullJournal();
    const { log, heard, faults } = logOver(journal);
    journal.isFull = true;
    log.report(event('one'));
    await log.flush();
    journal.isFull = false;
    log.report(event('two'));
    await log.flush();
    expect(heard).toEqual(['0 one', '1 two']);
    expect(faults).toMatchObject([{ code: 'journal-failed' }]);
  });

  it('stores and tells the others although a listener throws', async () => {
    const journal = new FullJournal();
    const faults: unknown[] = [];
    const log = new EventLog(journal, (error) => faults.push(error));
    const heard: string[] = [];
    const gone = new Error('the client is gone');
    log.onEvent(() => {
      throw gone;
    });
    log.onEvent(({ kind }) => heard.push(kind));
    log.report(event('one'));
    log.report(event('two'));
    await log.flush();
    expect(heard).toEqual(['one', 'two']);
    expect(await journal.events(0, 10)).toHaveLength(2);
    expect(faults).toEqual([gone, gone]);
  });

  it('tells nobody who stopped listening', async () => {
    const { log } = logOver(new FullJournal());
    const heard: string[] = [];
    const stop = log.onEvent(({ kind }) => heard.push(kind));
    stop();
    log.report(event('one'));
    await log.flush();
    expect(heard).toEqual([]);
  });

  it('has a new version with each event and each progress', () => {
    const { log } = logOver(new FullJournal());
    const versions = [log.version];
    log.report(event('one'));
    versions.push(log.version);
    log.progress(update, { step: 'write', partition: 'root', fetchedBytes: 1, layerSizeBytes: 2, writtenBytes: 1 });
    versions.push(log.version);
    expect(new Set(versions).size).toBe(3);
    expect(versions).toEqual(versions.toSorted((one, other) => one - other));
  });

  it('shows no progress of a write that ended', () => {
    const { log } = logOver(new FullJournal());
    log.progress(update, { step: 'write', partition: 'root', fetchedBytes: 1, layerSizeBytes: 2, writtenBytes: 1 });
    expect(log.progressNow).toMatchObject({ fetchedBytes: 1 });
    log.report(event('slot-written'));
    expect(log.progressNow).toBeUndefined();
  });
});
