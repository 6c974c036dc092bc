import type { HealthView } from '../core/control.ts';
import type { CheckProgress } from '../core/ports.ts';
import type { UpdateState } from '../core/update-state.ts';

/** The latest health results of this boot, for the status. */
export class HealthBoard {
  readonly #checks = new Map<string, CheckProgress>();
  #verdict: HealthView['verdict'] = 'unknown';
  #updateId: string | undefined;

  /** Takes where a check of the running trial stands. */
  put(progress: CheckProgress): void {
    this.#checks.set(progress.name, progress);
  }

  /** Follows the machine: a trial begins, or its verdict is known. */
  follow(before: UpdateState, after: UpdateState): void {
    if (after.phase === 'trial' && before.phase !== 'trial') {
      this.#checks.clear();
      this.#verdict = 'running';
      this.#updateId = after.update.id;
    } else if (before.phase === 'trial' && after.phase === 'committing') {
      this.#verdict = 'passed';
    } else if (before.phase === 'trial' && after.phase === 'rolling-back') {
      this.#verdict = 'failed';
    }
  }

  view(): HealthView {
    return { verdict: this.#verdict, updateId: this.#updateId, checks: [...this.#checks.values()] };
  }
}
