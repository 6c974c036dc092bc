/** What one check said before the reboot into a trial. */
export interface BaselineCheck {
  readonly name: string;
  readonly isPassed: boolean;
  /** What it found wrong, by name, where it can tell. */
  readonly faults?: readonly string[];
}

/** What the node's checks said in the old slot, just before the loader was armed for the trial. */
export interface Baseline {
  readonly atMs: number;
  readonly checks: readonly BaselineCheck[];
}

/**
 * How a check is held against what it said before the update.
 * - `none`: it is not; it was not even tried.
 * - `excuse`: what was broken before does not fail a new image. Where nothing is recorded, its failure counts.
 * - `prove`: it counts only where it is recorded that it passed before.
 */
export type BaselineRule = 'none' | 'excuse' | 'prove';

/** Why a failure of check `name` does not count in this trial, in words; `undefined` where it counts. */
export function excuseOf(rule: BaselineRule, name: string, baseline: Baseline | undefined): string | undefined {
  const known = baseline?.checks.find((check) => check.name === name);
  switch (rule) {
    case 'none':
      return undefined;
    case 'excuse':
      // One that names what is wrong is judged by the names: what is new still counts.
      return known === undefined || known.isPassed || known.faults !== undefined ? undefined : failedBefore;
    case 'prove':
      if (known?.isPassed === true) return undefined;
      return known === undefined ? 'it is not known to have passed before the update' : failedBefore;
  }
}

/** The faults of check `name` that were not there before the update. */
export function newFaults(
  rule: BaselineRule,
  name: string,
  faults: readonly string[],
  baseline: Baseline | undefined,
): readonly string[] {
  if (rule === 'none') return faults;
  const before = baseline?.checks.find((check) => check.name === name)?.faults ?? [];
  return faults.filter((fault) => !before.includes(fault));
}

const failedBefore = 'it failed before the update, too';
