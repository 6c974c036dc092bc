import { withoutRetry } from './endings.ts';
import type { InPhase as In, Pause, Phase } from './update-state.ts';

/** A state that an operator may pause. */
export type Pausable = In<'preparing' | 'writing' | 'staged'>;

/** The phases that an operator may pause: the slot that is changed in them, if any, can't boot. */
export const pausablePhases = ['preparing', 'writing', 'staged'] as const satisfies readonly Phase[];

/** `state` paused; the same object where it is paused already. Its retry is forgotten: who resumes it tries anew. */
export function paused<S extends Pausable>(state: S, atMs: number): S {
  return state.pause === undefined ? { ...withoutRetry(state), pause: { atMs } } : state;
}

/**
 * `state` going on, and with `isMeteredAllowed` over a metered link, too; the same object where neither changes anything.
 */
export function resumed<S extends Pausable>(state: S, isMeteredAllowed = false): S {
  const allowed =
    isMeteredAllowed && state.update.isMeteredAllowed !== true
      ? { ...state, update: { ...state.update, isMeteredAllowed } }
      : state;
  if (allowed.pause === undefined) return allowed;
  const rest: S & { pause?: Pause } = { ...allowed };
  delete (rest as { pause?: Pause }).pause;
  return rest;
}

/** The pause of `state`, for a state that follows it: work that ended as the pause came does not end the pause. */
export function pauseOf({ pause }: Pausable): { readonly pause?: Pause } {
  return pause === undefined ? {} : { pause };
}
