import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadLastGoodConfig, saveLastGoodConfig } from '../../../agent/config/last-good-config.ts';
import { type ConfigTexts, parseConfig } from '../../../agent/config/parse-config.ts';

let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'kaon-last-good-'));
  directory = join(parent, 'state');
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

const main = `
formatVersion: 1
node: {compatible: acme}
slots:
  a: {bootName: A, partitions: {root: {device: /dev/a}}}
  b: {bootName: B, partitions: {root: {device: /dev/b}}}
bootloader: {type: grub}
`;

function textsOf(site: string): ConfigTexts {
  return {
    image: undefined,
    node: [
      { path: '/etc/kaon/kaon.yaml', text: main },
      { path: '/etc/kaon/conf.d/10-site.yaml', text: `node: {labels: {site: ${site}}}` },
    ],
  };
}

const pathOf = (version: string) => join(directory, `last-good-config-${version}.json`);

/** Saves a copy that was written `second` seconds after the first of January 2020. */
async function saveAt(second: number, version: string, site = version): Promise<void> {
  await saveLastGoodConfig(directory, version, textsOf(`"${site}"`));
  const atSeconds = Date.UTC(2020, 0, 1) / 1000 + second;
  utimesSync(pathOf(version), atSeconds, atSeconds);
}

const siteFor = async (version: string) => (await loadLastGoodConfig(directory, version))?.node.labels['site'];

describe('the last good configuration', () => {
  it('is none on a new node, whose directory is not there', async () => {
    expect(await loadLastGoodConfig(directory, '1.0.0')).toBeUndefined();
  });

  it('comes back as it was parsed, the part of the image included', async () => {
    const texts: ConfigTexts = {
      image: { path: '/usr/lib/kaon/kaon.yaml', text: 'node: {labels: {from: image, site: none}}' },
      node: textsOf('oslo').node,
    };
    await saveLastGoodConfig(directory, '1.0.0', texts);
    const config = await loadLastGoodConfig(directory, '1.0.0');
    expect(config).toEqual(parseConfig(texts));
    expect(config?.node.labels).toEqual({ from: 'image', site: 'oslo' });
  });

  it('is closed to others and leaves nothing beside it', async () => {
    await saveAt(0, '1.0.0');
    expect(readdirSync(directory)).toEqual(['last-good-config-1.0.0.json']);
    expect([directory, pathOf('1.0.0')].map((path) => statSync(path).mode & 0o007)).toEqual([0, 0]);
  });

  it("is the version's own, though another's is newer", async () => {
    await saveAt(1, '1.0.0');
    await saveAt(2, '2.0.0');
    expect(await siteFor('1.0.0')).toBe('1.0.0');
    expect(await siteFor('2.0.0')).toBe('2.0.0');
  });

  it('is the newest of the others where the version has none', async () => {
    await saveAt(3, '1.0.0');
    await saveAt(2, '9.0.0');
    expect(await siteFor('2.0.0')).toBe('1.0.0');
  });

  it('is the newest that parses: what is damaged is passed over', async () => {
    await saveAt(1, '1.0.0');
    await saveAt(2, '2.0.0');
    await saveAt(3, '3.0.0');
    await saveAt(4, '4.0.0');
    writeFileSync(pathOf('4.0.0'), '{"node":[{"path":"/etc/kaon/kaon.yaml"');
    writeFileSync(pathOf('3.0.0'), JSON.stringify({ node: [{ path: 'kaon.yaml', text: 'formatVersion: 2' }] }));
    expect(await siteFor('4.0.0')).toBe('2.0.0');
    truncateSync(pathOf('2.0.0'));
    expect(await siteFor('4.0.0')).toBe('1.0.0');
    rmSync(pathOf('1.0.0'));
    mkdirSync(pathOf('1.0.0'));
    expect(await siteFor('4.0.0')).toBeUndefined();
  });

  it('is never read from a file of absurd size', async () => {
    await saveAt(1, '1.0.0');
    await saveAt(2, '2.0.0');
    const bytes = readFileSync(pathOf('2.0.0'));
    writeFileSync(pathOf('2.0.0'), Buffer.concat([bytes, Buffer.alloc(21 * 1024 * 1024, ' ')]));
    expect(await siteFor('2.0.0')).toBe('1.0.0');
  });

  it('is replaced when it changes', async () => {
    await saveAt(1, '1.0.0', 'oslo');
    await saveAt(2, '1.0.0', 'bergen');
    expect(await siteFor('1.0.0')).toBe('bergen');
  });

  it('is not written again where nothing changed', async () => {
    await saveAt(0, '1.0.0');
    const before = statSync(pathOf('1.0.0'));
    await saveLastGoodConfig(directory, '1.0.0', textsOf('"1.0.0"'));
    const after = statSync(pathOf('1.0.0'));
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
  });

  it('is written again where its copy is damaged', async () => {
    await saveAt(1, '1.0.0');
    writeFileSync(pathOf('1.0.0'), 'damaged');
    await saveAt(2, '1.0.0');
    expect(await siteFor('1.0.0')).toBe('1.0.0');
  });

  it('is kept for four versions; the oldest goes, and nothing else of the directory', async () => {
    mkdirSync(directory);
    for (const name of ['boots.json', 'last-good-config-note.txt']) {
      writeFileSync(join(directory, name), '');
      utimesSync(join(directory, name), 1, 1);
    }
    for (const [second, version] of ['1.0.0', '5.0.0', '2.0.0', '4.0.0', '3.0.0'].entries()) {
      await saveAt(second, version);
    }
    expect(readdirSync(directory).sort()).toEqual([
      'boots.json',
      ...['2.0.0', '3.0.0', '4.0.0', '5.0.0'].map((version) => `last-good-config-${version}.json`),
      'last-good-config-note.txt',
    ]);
  });

  it('is taken from an older copy where a save was cut short', async () => {
    await saveAt(1, '1.0.0');
    writeFileSync(`${pathOf('1.0.0')}.new`, '{"node":[');
    expect(await siteFor('1.0.0')).toBe('1.0.0');
    await saveAt(2, '1.0.0', 'bergen');
    expect(await siteFor('1.0.0')).toBe('bergen');
  });

  it('rejects with the error of the file system where it cannot be kept', async () => {
    writeFileSync(directory, '');
    await expect(saveLastGoodConfig(directory, '1.0.0', textsOf('oslo'))).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await loadLastGoodConfig(directory, '1.0.0')).toBeUndefined();
  });

  it('is kept though a clock that went back makes it the oldest', async () => {
    const future = 3_000_000_000;
    for (const version of ['1.0.0', '2.0.0', '3.0.0', '4.0.0']) {
      await saveAt(0, version);
      utimesSync(pathOf(version), future, future);
    }
    await saveLastGoodConfig(directory, '5.0.0', textsOf('here'));
    expect(await siteFor('5.0.0')).toBe('here');
    expect(readdirSync(directory)).toHaveLength(4);
  });
});
