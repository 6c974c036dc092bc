import type { UpdateState } from '../../agent/core/update-state.ts';
import { effectOf } from '../../agent/core/transition.ts';
import type { UpdateRunner } from '../../agent/update/runner.ts';
import type { World } from './world.ts';

/** An operator who pauses the update once it is in a phase, has the node rebooted, and lets it go on after that. */
export class PausingOperator {
  readonly violations: string[] = [];
  /** How often an update was found paused after a boot. */
  resumedCount = 0;
  readonly #phase: 'preparing' | 'writing' | 'staged';
  #hasPaused = false;

  constructor(phase: 'preparing' | 'writing' | 'staged') {
    this.#phase = phase;
  }

  /**
   * Pauses in the phase that is waited for; resolves to whether the update is paused now, and the node is to be rebooted.
   * A pause that could not be saved is asked for again after the next boot.
   */
  async pause(world: World, runner: UpdateRunner): Promise<boolean> {
    if (this.#hasPaused || runner.state.phase !== this.#phase) return false;
    this.#hasPaused = true;
    try {
      return await runner.dispatch({ type: 'pause-asked', atMs: world.clock.nowMs() });
    } catch (error) {
      if (!world.isOff) throw error;
      this.#hasPaused = false;
      return false;
    }
  }

  /** Looks at an agent that has just started, and lets its update go on where it is paused. */
  async resume(world: World, runner: UpdateRunner): Promise<void> {
    const { state } = runner;
    if (!this.#hasPaused || !isPausable(state)) return;
    if (!('pause' in state) && this.resumedCount === 0) {
      this.violations.push(`a pause holds: the update went on by itself in ${state.phase}`);
    }
    if (!('pause' in state)) return;
    if (effectOf(state) !== undefined) this.violations.push(`a pause holds: ${state.phase} has an effect`);
    await runner.dispatch({ type: 'resume-asked', atMs: world.clock.nowMs() });
    this.resumedCount += 1;
  }
}

function isPausable({ phase }: UpdateState): boolean {
  return phase === 'preparing' || phase === 'writing' || phase === 'staged';
}
