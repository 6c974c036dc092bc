import { describe, expect, it } from 'vitest';
import { evidenceLimits, joinEvidence } from '../../../agent/core/evidence-bounds.ts';
import type { EvidenceItem } from '../../../agent/core/update-state.ts';

const item = (name: string, text: string): EvidenceItem => ({ kind: 'journal', name, text });

describe('the evidence of one rollback', () => {
  it('has each piece once, the first that was found of it', () => {
    expect(joinEvidence([item('a', '1')], [item('a', '2'), item('b', '3')])).toEqual([item('a', '1'), item('b', '3')]);
  });

  it('keeps the end of a text', () => {
    const [kept] = joinEvidence([item('a', `${'x'.repeat(20_000)}the end`)], []);
    expect(kept?.text).toHaveLength(evidenceLimits.itemCharacters);
    expect(kept?.text.endsWith('the end')).toBe(true);
  });

  it('is bounded in pieces and in characters however often it is added to, and says once that there was more', () => {
    const many = Array.from({ length: 100 }, (_unused, n) => item(`m${n}`, 'short'));
    const large = Array.from({ length: 20 }, (_unused, n) => item(`l${n}`, 'x'.repeat(8000)));
    for (const more of [many, large]) {
      let kept: readonly EvidenceItem[] = [];
      for (let round = 0; round < 3; round++) kept = joinEvidence(kept, more);
      expect(kept.length).toBeLessThanOrEqual(evidenceLimits.items);
      expect(kept.reduce((sum, { text }) => sum + text.length, 0)).toBeLessThan(evidenceLimits.characters + 100);
      expect(kept.filter(({ name }) => name === 'evidence left out')).toHaveLength(1);
      expect(kept.at(-1)?.name).toBe('evidence left out');
    }
  });
});
