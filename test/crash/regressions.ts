import type { Behaviour } from './images.ts';
import type { CrashPlan } from './world.ts';

/** Lives that broke a promise once; each stays a test. */
export const regressions: readonly {
  readonly name: string;
  readonly plan: CrashPlan;
  readonly behaviour: Behaviour;
  readonly agent: 1 | 2;
}[] = [
  {
    name: 'three cuts of one update, with a try left',
    plan: { loader: 'kaon', cuts: [30, 42, 50], fates: { seed: 7 } },
    behaviour: 'healthy',
    agent: 1,
  },
];
