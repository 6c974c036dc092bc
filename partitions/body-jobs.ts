import type { ArenaSlot, SharedArena } from './shared-arena.ts';

/** The work on one partition's content that is under way: as many jobs as the arena has slots. */
export class BodyJobs {
  readonly #arena: SharedArena;
  readonly #checkSignal: () => void;
  readonly #underWay = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** `checkSignal` throws when the caller wants to stop. */
  constructor(arena: SharedArena, checkSignal: () => void) {
    this.#arena = arena;
    this.#checkSignal = checkSignal;
  }

  /** Resolves to a slot for the next job; give it to `start` or `drop`. Rejects with what an earlier job failed of. */
  async take(): Promise<ArenaSlot> {
    this.throwFailure();
    const slot = await this.#arena.take();
    try {
      this.throwFailure();
      this.#checkSignal();
      return slot;
    } catch (error) {
      this.drop(slot);
      throw error;
    }
  }

  /** Gives a slot back without a job. */
  drop(slot: ArenaSlot): void {
    this.#arena.release(slot);
  }

  /** Runs `job`, and gives its slot back when it ends. Its failure is told by what is called next. */
  start(slot: ArenaSlot, job: () => Promise<void>): void {
    this.watch(job().finally(() => this.#arena.release(slot)));
  }

  /** Counts `work` as a job that has no slot. */
  watch(work: Promise<void>): void {
    const done: Promise<void> = work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#underWay.delete(done));
    this.#underWay.add(done);
  }

  /** Resolves when no job is under way any more; before that no device may be closed. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** Throws what the first job failed of. */
  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
