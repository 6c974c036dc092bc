import { parseEntry } from './bls-entry.ts';

/** The EFI variables of the loader's own vendor that choose an entry. */
export const choosingVariables = ['LoaderEntryOneShot', 'LoaderEntryPreferred', 'LoaderEntryDefault'] as const;

export type ChoosingVariable = (typeof choosingVariables)[number];

/** The loader's EFI variables (vendor 4a67b082-0a4c-41cf-b6c7-440b29bb8c4f), decoded. */
export interface EfiVariables {
  /** The variable's text, or `undefined` when it is not set. Rejects with `boot-env-unreadable`. */
  read(name: ChoosingVariable): Promise<string | undefined>;
  /** Removes the variable, durably. Rejects with `boot-env-write-failed`. */
  remove(name: ChoosingVariable): Promise<void>;
}

/** Something that chooses an entry before the loader's sort order does. */
export interface Override {
  readonly source: ChoosingVariable | 'preferred' | 'default';
  /** A glob over entry ids. */
  readonly pattern: string;
  /** The line of loader.conf; `undefined` for an EFI variable. */
  readonly line: number | undefined;
}

/** Whether an override passes over entries without tries left. */
export function respectsCounters({ source }: Override): boolean {
  return source === 'preferred' || source === 'LoaderEntryPreferred';
}

/** What loader.conf and the EFI variables choose by, the strongest first. */
export function findOverrides(
  loaderConf: Uint8Array | undefined,
  variables: Readonly<Partial<Record<ChoosingVariable, string | undefined>>>,
): readonly Override[] {
  const { lines } = parseEntry(loaderConf ?? new Uint8Array());
  const variable = (source: ChoosingVariable): readonly Override[] => {
    const pattern = variables[source];
    return pattern === undefined || pattern === '' ? [] : [{ source, pattern, line: undefined }];
  };
  const setting = (source: 'preferred' | 'default'): readonly Override[] => {
    const index = lines.findLastIndex(({ key }) => key === source);
    const found = lines[index];
    return found === undefined ? [] : [{ source, pattern: found.value.replace(/^"(.*)"$/, '$1'), line: index + 1 }];
  };
  return [
    ...variable('LoaderEntryOneShot'),
    ...variable('LoaderEntryPreferred'),
    ...setting('preferred'),
    ...variable('LoaderEntryDefault'),
    ...setting('default'),
  ];
}

/** What an override is and how an operator removes it, for an error's reason. */
export function describeOverride({ source, pattern, line }: Override, fix: string): string {
  if (line === undefined) return `EFI variable ${source} chooses ${pattern}; remove it with ${removal[source] ?? ''}`;
  return `line ${line} of loader/loader.conf, "${source} ${pattern}", chooses an entry; remove it or make it "${fix}"`;
}

const removal: Readonly<Partial<Record<Override['source'], string>>> = {
  LoaderEntryOneShot: '`bootctl set-oneshot ""`',
  LoaderEntryPreferred: '`bootctl set-preferred ""`',
  LoaderEntryDefault: '`bootctl set-default ""`',
};

/** Whether the loader's glob (`*`, `?`, `[set]`) matches all of `id`; case does not count. */
export function matchesGlob(pattern: string, id: string): boolean {
  const tokens = tokenize(pattern.toLowerCase());
  const text = id.toLowerCase();
  let token = 0;
  let at = 0;
  // Only the last star has to be tried again, so that no pattern takes longer than its length times the id's.
  let star: { readonly token: number; at: number } | undefined;
  while (at < text.length) {
    const current = tokens[token];
    if (current === '*') {
      star = { token, at };
      token += 1;
    } else if (current !== undefined && matchesToken(current, text.charAt(at))) {
      token += 1;
      at += 1;
    } else if (star !== undefined) {
      star.at += 1;
      at = star.at;
      token = star.token + 1;
    } else {
      return false;
    }
  }
  return tokens.slice(token).every((rest) => rest === '*');
}

function tokenize(pattern: string): readonly string[] {
  return pattern.match(/\[[^\]]+\]|\\.|[^]/g) ?? [];
}

function matchesToken(token: string, character: string): boolean {
  if (token === '?') return true;
  if (token.length === 2 && token.startsWith('\\')) return token[1] === character;
  if (token.length < 3) return token === character;
  const members = token.slice(1, -1);
  for (let at = 0; at < members.length; at += 1) {
    const first = members.charAt(at);
    const isRange = members[at + 1] === '-' && at + 2 < members.length;
    const last = isRange ? members.charAt(at + 2) : first;
    if (character >= first && character <= last) return true;
    if (isRange) at += 2;
  }
  return false;
}
