import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What the kaon of the next version calls itself. */
export const newerVersion = '99.0.0';

/** What a newer kaon may add to all that it stores: fields that the older one knows nothing of. */
export const newerChanges: readonly { readonly file: string; readonly find: string; readonly replace: string }[] = [
  {
    file: 'dist/agent/store/state-codec.js',
    find: 'return JSON.stringify(state);',
    replace: 'return JSON.stringify({ ...state, newerState: { kept: [1, 2] } });',
  },
  {
    file: 'dist/agent/store/facts-codec.js',
    find: 'JSON.stringify({ ...extra, ...known })',
    replace: 'JSON.stringify({ newerFact: "kept", ...extra, ...known })',
  },
  {
    file: 'dist/agent/store/sqlite-journal.js',
    find: 'JSON.stringify(change.rollback)',
    replace: 'JSON.stringify({ ...change.rollback, newerField: 1 })',
  },
  {
    file: 'dist/agent/store/sqlite-journal.js',
    find: 'JSON.stringify(change.boot)',
    replace: 'JSON.stringify({ ...change.boot, newerField: 1 })',
  },
  {
    file: 'dist/agent/store/journal-file.js',
    find: "database.pragma('synchronous = FULL');",
    replace: `database.pragma('synchronous = FULL');
    if (!isEmpty) database.exec("CREATE TABLE IF NOT EXISTS newer (id INTEGER PRIMARY KEY, document TEXT); INSERT INTO newer (document) VALUES ('{}'); UPDATE meta SET value = '2' WHERE key = 'schemaVersion';");`,
  },
  {
    file: 'dist/agent/store/written-records-file.js',
    find: 'JSON.stringify({ formatVersion: 1, ...written })',
    replace: 'JSON.stringify({ formatVersion: 1, ...written, newerField: 1 })',
  },
];

/**
 * Makes the kaon that is installed in `tree` a newer one, which adds to everything that it stores. Throws where the
 * code is not as it was, so that the scenario never runs with the same kaon twice.
 */
export async function makeNewer(tree: string): Promise<void> {
  const home = join(tree, 'usr/lib/kaon');
  for (const { file, find, replace } of newerChanges) {
    const path = join(home, file);
    const text = await readFile(path, 'utf8');
    if (text.split(find).length !== 2) throw new Error(`cannot make a newer kaon: ${file} does not have ${find} once`);
    await writeFile(
      path,
      text.replace(find, () => replace),
    );
  }
  for (const file of ['package.json', 'dist/package.json']) {
    const path = join(home, file);
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace(/"version": "[^"]*"/, `"version": "${newerVersion}"`));
  }
}
