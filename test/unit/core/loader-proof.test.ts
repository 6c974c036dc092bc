import { describe, expect, it } from 'vitest';
import { emptyFacts } from '../../../agent/core/facts.ts';
import {
  loaderWarning,
  proofOf,
  sightingKind,
  unprovenLoader,
  withSighting,
} from '../../../agent/core/loader-proof.ts';
import { soundNode } from '../update/samples.ts';

const seen = { loader: 'gpt', hasCounted: true, by: 'trial', atMs: 5 } as const;

describe('what a boot showed of the loader', () => {
  it('is a proof from then on, and written once', () => {
    const facts = withSighting(emptyFacts, seen);
    expect(proofOf(facts, 'gpt')).toEqual({ loader: 'gpt', isProven: true, by: 'trial', atMs: 5 });
    expect(withSighting(facts, { ...seen, by: 'boot', atMs: 9 })).toBe(facts);
  });

  it('is a proof of that loader alone', () => {
    const facts = withSighting(emptyFacts, seen);
    expect(proofOf(facts, 'efi')).toBeUndefined();
    expect(proofOf(withSighting(facts, { ...seen, loader: 'efi' }), 'gpt')).toBeUndefined();
  });

  it('takes a proof back, and gives it again', () => {
    const proven = withSighting(emptyFacts, seen);
    const doubted = withSighting(proven, { ...seen, hasCounted: false, atMs: 7 });
    expect(proofOf(doubted, 'gpt')).toMatchObject({ isProven: false, atMs: 7 });
    expect(proofOf(withSighting(doubted, seen), 'gpt')).toMatchObject({ isProven: true });
  });

  it('is recorded anew when somebody asked for it', () => {
    const facts = withSighting(emptyFacts, seen);
    expect(proofOf(withSighting(facts, { ...seen, by: 'self-test', atMs: 9 }), 'gpt')).toMatchObject({ atMs: 9 });
  });

  it('comes from a trial where the booted slot is in one', () => {
    expect(sightingKind(soundNode)).toBe('boot');
    expect(sightingKind({ ...soundNode, boot: { ...soundNode.boot, trial: soundNode.booted } })).toBe('trial');
  });

  it('warns and blocks unless it is a proof', () => {
    const proof = { loader: 'gpt', isProven: true, by: 'boot', atMs: 1 } as const;
    for (const doubtful of [undefined, { ...proof, isProven: false }]) {
      expect(loaderWarning(doubtful, true)).toContain('write back');
      expect(unprovenLoader(doubtful)).toMatchObject({ code: 'loader-unproven' });
    }
    expect(loaderWarning(undefined, false)).toContain('the first trial shows it');
    expect([loaderWarning(proof, true), unprovenLoader(proof)]).toEqual([undefined, undefined]);
  });
});
