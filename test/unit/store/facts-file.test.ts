import { mkdtempSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyFacts } from '../../../agent/core/facts.ts';
import { FactsFile } from '../../../agent/store/facts-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-facts-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const at = (floor: number) => ({ ...emptyFacts, rollbackFloor: floor });
const path = (name: string) => join(directory, name);
const load = () => new FactsFile(directory).load();

async function saved(...floors: readonly number[]): Promise<void> {
  for (const floor of floors) await new FactsFile(directory).save(at(floor));
}

describe('the facts file', () => {
  it('writes the older copy only', async () => {
    await saved(1, 2);
    const newest = readFileSync(path('facts.1'));
    await saved(3);
    expect(readFileSync(path('facts.1'))).toEqual(newest);
    expect((await load()).data.rollbackFloor).toBe(3);
  });

  it('gives the older copy while the newer one is torn at any sector', async () => {
    await saved(1, 2);
    const older = readFileSync(path('facts.0'));
    await saved(3);
    const newer = readFileSync(path('facts.0'));
    for (let sector = 0; sector <= newer.byteLength; sector += 512) {
      writeFileSync(path('facts.0'), Buffer.concat([newer.subarray(0, sector), older.subarray(sector)]));
      const { data, isLost } = await load();
      expect(isLost).toBe(false);
      expect([2, 3]).toContain(data.rollbackFloor);
    }
  });

  it('goes on from a torn copy without touching the sound one', async () => {
    await saved(1, 2, 3);
    truncateSync(path('facts.0'), 100);
    const sound = readFileSync(path('facts.1'));
    await saved(4);
    expect(readFileSync(path('facts.1'))).toEqual(sound);
    expect((await load()).data.rollbackFloor).toBe(4);
  });

  it.each([0, 1, 7, 64, 100, 4095])('is lost when both copies are cut to %i bytes', async (size) => {
    await saved(1, 2);
    for (const name of ['facts.0', 'facts.1']) truncateSync(path(name), size);
    // The payload ends long before the filling does.
    expect((await load()).isLost).toBe(size < 4095);
  });

  it('is lost when both copies are gone and the marker says that there were facts', async () => {
    await saved(1, 2);
    for (const name of ['facts.0', 'facts.1']) unlinkSync(path(name));
    expect(await load()).toEqual({ data: emptyFacts, isLost: true });
  });

  it('is not lost when the power went before the first copy had its name', async () => {
    writeFileSync(path('facts.0.new'), 'half');
    expect(await load()).toEqual({ data: emptyFacts, isLost: false });
    await saved(1);
    expect((await load()).data.rollbackFloor).toBe(1);
  });

  it('makes the marker good when the power went before it', async () => {
    await saved(1);
    unlinkSync(path('facts.exist'));
    await saved(2);
    for (const name of ['facts.0', 'facts.1']) unlinkSync(path(name));
    expect((await load()).isLost).toBe(true);
  });

  it('is facts-failed where the directory is missing', async () => {
    rmSync(directory, { recursive: true });
    await expect(load()).rejects.toMatchObject({ code: 'facts-failed' });
    await expect(saved(1)).rejects.toMatchObject({ code: 'facts-failed' });
  });

  it('is facts-failed for facts that are too large, and keeps the stored ones', async () => {
    await saved(1);
    const large = { ...at(2), extra: { text: 'x'.repeat(300_000) } };
    await expect(new FactsFile(directory).save(large)).rejects.toMatchObject({ code: 'facts-failed' });
    expect((await load()).data.rollbackFloor).toBe(1);
  });
});
