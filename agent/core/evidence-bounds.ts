import type { EvidenceItem } from './update-state.ts';

/** Most items of one rollback, and most characters of one and of all of them together. */
export const evidenceLimits = { items: 40, itemCharacters: 8192, characters: 65_536 } as const;

const leftOut: EvidenceItem = { kind: 'error', name: 'evidence left out', text: 'there was more than is kept' };

/**
 * `first` and then `more`, without what is there twice (an effect may run again), within the limits. What does not fit is
 * left out from the end, and a last item says so: what explains most is collected first.
 */
export function joinEvidence(first: readonly EvidenceItem[], more: readonly EvidenceItem[]): readonly EvidenceItem[] {
  const kept: EvidenceItem[] = [];
  const seen = new Set<string>();
  let characters = 0;
  let isCut = false;
  for (const item of [...first, ...more]) {
    const key = JSON.stringify([item.kind, item.name]);
    if (seen.has(key)) continue;
    seen.add(key);
    // The end of an output is where programs say what went wrong.
    const text = item.text.slice(-evidenceLimits.itemCharacters);
    const isNote = item.kind === leftOut.kind && item.name === leftOut.name;
    if (isNote || kept.length >= evidenceLimits.items - 1 || characters + text.length > evidenceLimits.characters) {
      isCut = true;
      continue;
    }
    characters += text.length;
    kept.push(text === item.text ? item : { ...item, text });
  }
  return isCut ? [...kept, leftOut] : kept;
}
