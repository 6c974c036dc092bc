import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { addKnownBad, emptyFacts, type FactsData } from '../../agent/core/facts.ts';
import type { Facts } from '../../agent/core/ports.ts';
import { FactsFile } from '../../agent/store/facts-file.ts';
import { MemoryFacts } from '../fakes/memory-facts.ts';

interface Subject {
  readonly facts: Facts;
  readonly restart: () => Facts;
  readonly lose: () => void;
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function openFile(): Subject {
  const directory = mkdtempSync(join(tmpdir(), 'kaon-facts-'));
  cleanups.push(() => rmSync(directory, { recursive: true }));
  return {
    facts: new FactsFile(directory),
    restart: () => new FactsFile(directory),
    lose: () => {
      for (const name of ['facts.0', 'facts.1']) writeFileSync(join(directory, name), 'damaged');
    },
  };
}

function openMemory(): Subject {
  const facts = new MemoryFacts();
  return { facts, restart: () => facts, lose: () => facts.lose() };
}

const full: FactsData = {
  ...addKnownBad(emptyFacts, { digest: 'sha256:1', reason: 'health-failed', updateId: 'u-1', atMs: 5 }),
  rollbackFloor: 7,
  triggerSequences: { 'fleet-1': 12 },
  trustGeneration: 2,
  installSequence: 9,
  hold: { reason: 'maintenance', untilMs: undefined },
  extra: { fromNewer: { deep: [1, 2] } },
};

describe.each([
  ['FactsFile', openFile],
  ['MemoryFacts', openMemory],
])('facts, as %s', (_name, open) => {
  it('are empty and not lost on a new node', async () => {
    expect(await open().facts.load()).toEqual({ data: emptyFacts, isLost: false });
  });

  it('come back whole after a restart, unknown fields included', async () => {
    const { facts, restart } = open();
    await facts.save(full);
    expect(await restart().load()).toEqual({ data: full, isLost: false });
  });

  it('give the newest of many saves', async () => {
    const { facts, restart } = open();
    for (let floor = 1; floor <= 5; floor++) await facts.save({ ...full, rollbackFloor: floor });
    expect((await restart().load()).data.rollbackFloor).toBe(5);
  });

  it('apply saves that are started together in order', async () => {
    const { facts, restart } = open();
    await Promise.all([1, 2, 3].map((floor) => facts.save({ ...full, rollbackFloor: floor })));
    expect((await restart().load()).data.rollbackFloor).toBe(3);
  });

  it('are lost when no copy can be read, and found again after the next save', async () => {
    const { facts, restart, lose } = open();
    await facts.save(full);
    lose();
    expect(await restart().load()).toEqual({ data: emptyFacts, isLost: true });
    await restart().save(full);
    expect((await restart().load()).isLost).toBe(false);
  });
});
