import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseReference } from '../../../agent/core/image-format/reference.ts';
import { parseRegistriesConf, placesByConf } from '../../../agent/oci/registries-conf.ts';
import { readRegistriesConf } from '../../../agent/oci/registries-conf-files.ts';

const parse = (...texts: readonly string[]) =>
  parseRegistriesConf(texts.map((text, index) => ({ path: `${index}.conf`, text })));
const namesOf = (rules: ReturnType<typeof parse>, reference: string) =>
  placesByConf(parseReference(reference), rules)?.map(
    ({ registry, name, isTagged }) => `${registry}/${name}${isTagged ? ' by tag' : ''}`,
  );

/** As containers-registries.conf(5) shows it. */
const conf = `
unqualified-search-registries = ["docker.io"]
short-name-mode = "enforcing"

[[registry]]
prefix = "example.com/foo"
location = "internal.example.com:5000/bar"
insecure = true

[[registry.mirror]]
location = "mirror-0.example.com/foo"

[[registry.mirror]]
location = "mirror-1.example.com"
pull-from-mirror = "digest-only"

[[registry.mirror]]
location = "mirror-2.example.com"
pull-from-mirror = "tag-only"

[[registry]]
location = "example.com"
mirror-by-digest-only = true
mirror = [{ location = "cache.lan:5000/all" }]

[[registry]]
prefix = "*.example.org"
blocked = true

[[registry]]
location = "evil.test"
blocked = true
`;

describe('a registries.conf', () => {
  it('says by its longest prefix where a repository is fetched, and in which order', () => {
    const rules = parse(conf);
    expect(namesOf(rules, 'example.com/foo/os:v1')).toEqual([
      'mirror-0.example.com/foo/os by tag',
      'mirror-1.example.com/os',
      'internal.example.com:5000/bar/os by tag',
    ]);
    expect(namesOf(rules, 'example.com/food/os:v1')).toEqual([
      'cache.lan:5000/all/food/os',
      'example.com/food/os by tag',
    ]);
    expect(namesOf(rules, 'example.net/os')).toBeUndefined();
    expect(namesOf(rules, 'a.example.org/os')).toBeUndefined();
  });

  it('may block a registry', () => {
    expect(() => namesOf(parse(conf), 'evil.test/os')).toThrow(
      expect.objectContaining({ code: 'config-invalid', details: { repository: 'evil.test/os' } }),
    );
  });

  it('gives way, prefix by prefix, to what is read after it', () => {
    const later = '[[registry]]\nlocation = "evil.test"\n';
    expect(namesOf(parse(conf, later), 'evil.test/os')).toEqual(['evil.test/os by tag']);
  });

  it('of version 1 says nothing', () => {
    expect(parse("[registries.search]\nregistries = ['docker.io']\n")).toEqual([]);
  });

  it.each([
    ['[[registry]', '0.conf'],
    ['[[registry]]\nblocked = true', 'neither prefix nor location'],
    ['[[registry]]\nlocation = "https://x"', 'registry.0.location'],
    ['[[registry]]\nprefix = "a b"', '"a b" is no prefix'],
    ['[[registry]]\nlocation = "x"\nblocked = "yes"', 'registry.0.blocked'],
    ['[[registry]]\nlocation = "x"\n[[registry.mirror]]\n', 'registry.0.mirror.0.location'],
  ])('that is %j is refused, with its path', (text, reason) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: 'config-invalid', message: expect.stringContaining(reason) as string }),
    );
  });
});

describe('the files of a registries.conf', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kaon-conf-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it('are read with their drop-ins, and need not exist', async () => {
    const path = join(folder, 'registries.conf');
    expect(await readRegistriesConf(path)).toEqual([]);
    mkdirSync(`${path}.d`);
    writeFileSync(join(`${path}.d`, '50-site.conf'), '[[registry]]\nlocation = "b.test"\n');
    writeFileSync(join(`${path}.d`, 'notes.txt'), 'nothing');
    writeFileSync(path, '[[registry]]\nlocation = "a.test"\n');
    expect((await readRegistriesConf(path)).map(({ prefix }) => prefix.registry)).toEqual(['a.test', 'b.test']);
    writeFileSync(path, ' '.repeat(300_000));
    await expect(readRegistriesConf(path)).rejects.toMatchObject({ code: 'config-invalid', details: { path } });
  });
});
