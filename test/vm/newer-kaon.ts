import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What the kaon of the next version calls itself. */
export const newerVersion = '99.0.0';

/** What a newer kaon may add to all that it stores: fields that the older one knows nothing of. */
export const newerChanges: readonly { readonly file: string; readonly find: string; readonly replace: string }[] = [
  {
    file: 'agent/store/state-codec.ts',
    find: 'return JSON.stringify(state)',
    replace: 'return JSON.stringify({ ...state, newerState: { kept: [1, 2] } })',
  },
  {
    file: 'agent/store/facts-codec.ts',
    find: 'JSON.stringify({ ...extra, ...known })',
    replace: 'JSON.stringify({ newerFact: "kept", ...extra, ...known })',
  },
  {
    file: 'agent/store/sqlite-journal.ts',
    find: 'JSON.stringify(change.rollback)',
    replace: 'JSON.stringify({ ...change.rollback, newerField: 1 })',
  },
  {
    file: 'agent/store/sqlite-journal.ts',
    find: 'JSON.stringify(change.boot)',
    replace: 'JSON.stringify({ ...change.boot, newerField: 1 })',
  },
  {
    file: 'agent/store/journal-file.ts',
    find: "database.pragma('journal_mode = WAL')",
    replace: `database.pragma('journal_mode = WAL');
    if (!isEmpty) database.exec("CREATE TABLE IF NOT EXISTS newer (id INTEGER PRIMARY KEY, document TEXT); INSERT INTO newer (document) VALUES ('{}'); UPDATE meta SET value = '2' WHERE key = 'schemaVersion';")`,
  },
  {
    file: 'agent/store/written-records-file.ts',
    find: 'JSON.stringify({ formatVersion: 1, ...written })',
    replace: 'JSON.stringify({ formatVersion: 1, ...written, newerField: 1 })',
  },
];

/** Matches `code` however it is printed: with other quotes and other white space. It ends with no `;`, which may be left out. */
export function anyPrintOf(code: string): RegExp {
  const tokens = code.match(/\w+|[^\w\s]/g) ?? [];
  const patterns = tokens.map((token) => {
    if (/['"`]/.test(token)) return '["\'`]';
    return /\w/.test(token) ? token : `\\${token}`;
  });
  return new RegExp(patterns.join('\\s*'), 'g');
}

/**
 * Makes the kaon that is installed in `tree` a newer one, which adds to everything that it stores. Throws where the
 * code is not as it was, so that the scenario never runs with the same kaon twice.
 */
export async function makeNewer(tree: string): Promise<void> {
  const home = join(tree, 'usr/lib/kaon');
  const names = (await readdir(join(home, 'dist'), { recursive: true })).filter((name) => name.endsWith('.js'));
  const code = new Map<string, string>();
  for (const name of names) code.set(name, await readFile(join(home, 'dist', name), 'utf8'));
  for (const { find, replace } of newerChanges) {
    const pattern = anyPrintOf(find);
    const found = [...code].flatMap(([name, text]) => (text.match(pattern) ?? []).map(() => name));
    const [name] = found;
    if (name === undefined || found.length > 1) {
      throw new Error(`cannot make a newer kaon: its code has ${found.length} times: ${find}`);
    }
    code.set(
      name,
      (code.get(name) ?? '').replace(pattern, () => replace),
    );
  }
  for (const [name, text] of code) await writeFile(join(home, 'dist', name), text);
  for (const file of ['package.json', 'dist/package.json']) {
    const path = join(home, file);
    const packageText = await readFile(path, 'utf8');
    await writeFile(path, packageText.replace(/"version": "[^"]*"/, `"version": "${newerVersion}"`));
  }
}
