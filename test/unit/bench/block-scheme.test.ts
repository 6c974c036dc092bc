import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { randomFillSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { blockSchemeBytes } from '../../bench/block-scheme.ts';

const group = 64 * 1024;
const block = 4096;
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-scheme-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function compare(older: Uint8Array, newer: Uint8Array) {
  const [from, to] = [join(folder, 'older'), join(folder, 'newer')];
  await writeFile(from, older);
  await writeFile(to, newer);
  return blockSchemeBytes(from, to, 1);
}

it('an image of known blocks costs its index alone, wherever the blocks lie', async () => {
  const older = randomFillSync(Buffer.alloc(2 * group));
  const newer = Buffer.concat([older.subarray(group), older.subarray(0, group)]);
  expect(await compare(older, newer)).toEqual({
    indexBytes: 32 * 32,
    groupsBytes: 0,
    missingBlocks: 0,
    fetchedGroups: 0,
  });
});

it('one unknown block costs its whole group, and no more than its bytes', async () => {
  const older = randomFillSync(Buffer.alloc(4 * group));
  const newer = Buffer.from(older);
  randomFillSync(newer, group + 3 * block, block);
  expect(await compare(older, newer)).toMatchObject({ groupsBytes: group, missingBlocks: 1, fetchedGroups: 1 });
});

it('a group that packs well costs what it packs to', async () => {
  const newer = Buffer.alloc(group, 'kaon ');
  const { groupsBytes, fetchedGroups } = await compare(Buffer.alloc(group), newer);
  expect(fetchedGroups).toBe(1);
  expect(groupsBytes).toBeGreaterThan(0);
  expect(groupsBytes).toBeLessThan(1000);
});

it('the last group may be short', async () => {
  const newer = randomFillSync(Buffer.alloc(group + block / 2));
  expect(await compare(Buffer.alloc(0), newer)).toMatchObject({
    indexBytes: 17 * 32,
    missingBlocks: 17,
    fetchedGroups: 2,
    groupsBytes: group + block / 2,
  });
});
