import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { FactsFile } from '../../../agent/store/facts-file.ts';
import { SignedImageFiles } from '../../../agent/store/signed-image-files.ts';
import { SqliteJournal } from '../../../agent/store/sqlite-journal.ts';
import { WrittenRecordsFile } from '../../../agent/store/written-records-file.ts';

const golden = fileURLToPath(new URL('../../golden/', import.meta.url));
const folders: string[] = [];
afterEach(() => {
  folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true }));
});

/** A copy of a golden folder, as reading a journal writes to its file. */
function copyOf(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'kaon-golden-'));
  folders.push(folder);
  cpSync(join(golden, name), folder, { recursive: true });
  return folder;
}

const lost = 'sha256:40a9cdcaf4bf6e90224306020c7ed40004d3f33ae9e585ad846240fe53cfca00';
const tried = 'sha256:3c794fd944d2ce9cab76ccaf09e803a0132958f27b1983dd38f29c29f76e28c0';

describe.each(['first', 'current'])('the state that an agent of the %s format left', (name) => {
  it('has a journal whose trial, deployments, boots and history are read', async () => {
    const journal = new SqliteJournal({ path: join(copyOf(name), 'state/journal.db') });
    const { state, deployments, boots, rebuiltBecause } = await journal.load();
    expect(rebuiltBecause).toBeUndefined();
    expect(state).toMatchObject({
      phase: 'trial',
      target: { slot: 'b', previous: 'a', digest: tried, version: 'v2', keyIds: ['release'] },
      isRearmed: false,
    });
    expect(deployments.b?.digest).toBe(tried);
    expect(deployments.b?.committedAtMs).toBeUndefined();
    expect(boots.map(({ slot, isEndedCleanly }) => `${slot}:${isEndedCleanly}`)).toEqual([
      'a:true',
      'b:true',
      'a:true',
      'b:true',
    ]);
    expect((await journal.updates(9)).map(({ outcome }) => outcome?.result)).toEqual([undefined, 'rolled-back']);
    const rollbacks = await journal.rollbacks(9);
    expect(rollbacks).toMatchObject([{ digest: lost, reason: 'trial-lost', slot: 'b' }]);
    expect(rollbacks[0]?.evidence.map(({ kind }) => kind)).toEqual(['loader', 'boots', 'boots']);
    expect((await journal.events(0, 99)).length).toBeGreaterThan(0);
    journal.close();
  });

  it('has facts, with the digest that is not tried again', async () => {
    const { data, isLost } = await new FactsFile(join(copyOf(name), 'state')).load();
    expect(isLost).toBe(false);
    expect(data).toMatchObject({ knownBad: [{ digest: lost }], installSequence: 2, hold: undefined });
  });

  it('has what kaon-slotd wrote to the slot', async () => {
    const written = await new WrittenRecordsFile(join(copyOf(name), 'slotd')).read('b');
    expect(written).toMatchObject({ manifestDigest: tried, partitions: [{ name: 'root', sizeBytes: 131_072 }] });
  });
});

describe('the state that an agent of the current format left', () => {
  it('has the cause of a rollback, what the checks said before the update, and what was moved', async () => {
    const journal = new SqliteJournal({ path: join(copyOf('current'), 'state/journal.db') });
    expect(await journal.rollbacks(9)).toMatchObject([{ kind: 'interrupted', tries: { armed: 1, used: 1 } }]);
    const { state } = await journal.load();
    const checks = ['web', 'registry-reachable'].map((check) => ({ name: check, isPassed: true }));
    expect(state).toMatchObject({ baseline: { checks } });
    expect((await journal.updates(9))[0]?.transfer).toMatchObject({ fetchedBytes: 131_072 });
    journal.close();
  });

  it('has an operator’s limit for downloads, and what the slot was trusted by', async () => {
    const folder = copyOf('current');
    const { data } = await new FactsFile(join(folder, 'state')).load();
    expect(data.downloadRate).toEqual({ bytesPerSecond: 100 * 1024 * 1024 });
    const signed = await new SignedImageFiles(join(folder, 'state'), () => 0).load('b');
    expect(signed?.signed.image.manifestDigest).toBe(tried);
    expect(readFileSync(join(folder, 'state/resets'), 'utf8').trim().split('\n')).toHaveLength(4);
  });
});
