import type { ErrorReport } from './errors.ts';
import type { FactsData, LoaderProof } from './facts.ts';
import type { NodeBoot } from './ports.ts';

/** What a boot showed of its loader. */
export interface LoaderSighting {
  /** The configured loader, with its dialect: a proof of one says nothing of another. */
  readonly loader: string;
  readonly hasCounted: boolean;
  readonly by: LoaderProof['by'];
  readonly atMs: number;
}

/** What is known of `loader`; `undefined` while it never showed anything. */
export function proofOf(facts: FactsData, loader: string): LoaderProof | undefined {
  return facts.loaderProof?.loader === loader ? facts.loaderProof : undefined;
}

/** `facts` with what a boot showed; the same object where that is nothing new, and nobody asked for it. */
export function withSighting(facts: FactsData, { loader, hasCounted, by, atMs }: LoaderSighting): FactsData {
  if (by !== 'self-test' && proofOf(facts, loader)?.isProven === hasCounted) return facts;
  return { ...facts, loaderProof: { loader, isProven: hasCounted, by, atMs } };
}

/** By what the booted slot shows that the loader counts. */
export function sightingKind({ boot, booted }: NodeBoot): 'trial' | 'boot' {
  return boot.trial === booted ? 'trial' : 'boot';
}

/** What stands against an update where the loader never proved that it counts, and the update rules want a proof. */
export function unprovenLoader(proof: LoaderProof | undefined): ErrorReport | undefined {
  if (proof?.isProven === true) return undefined;
  const message =
    proof === undefined
      ? 'cannot install images: the loader never proved that it can write back, and update.unprovenLoader is refuse'
      : 'cannot install images: the loader did not write back when it should have, and update.unprovenLoader is refuse';
  return { code: 'loader-unproven', message };
}

/** The same as a warning; `undefined` where there is nothing to warn of. */
export function loaderWarning(proof: LoaderProof | undefined, isTestable: boolean): string | undefined {
  if (proof === undefined) {
    return isTestable
      ? 'the loader never proved that it can write back: kaonctl bootloader selftest --reboot shows it without a trial'
      : 'the loader never proved that it can write back: the first trial shows it';
  }
  return proof.isProven
    ? undefined
    : 'the loader did not write back when it should have: a trial that fails may never fall back';
}
