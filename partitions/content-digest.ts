import { digestAlgorithmOf } from './layer-check.ts';
import type { FrameWorkers } from './frames/frame-workers.ts';
import type { MemorySpan } from './frames/frame-tasks.ts';

/** All parts of one digest go to one worker, in order. */
const lane = 0;

/** The digest of content that is added in order, computed by a worker while more comes. */
export class ContentDigest {
  readonly #workers: FrameWorkers;
  readonly #name: string;
  readonly #algorithm: 'sha256' | 'sha512';
  #turn: Promise<unknown> = Promise.resolve();

  /** Uses the algorithm of `like`, sha256 where there is none; `name` tells it from others. */
  constructor(workers: FrameWorkers, name: string, like: string | undefined) {
    this.#workers = workers;
    this.#name = name;
    this.#algorithm = digestAlgorithmOf(like);
  }

  /** Adds what `ready` resolves to, after all that was added before. Resolves when it is hashed. */
  async add(ready: Promise<MemorySpan>): Promise<void> {
    const before = this.#turn;
    const added = (async () => {
      const span = await ready;
      await before;
      await this.#hash(span, false);
    })();
    this.#turn = added.catch(() => undefined);
    await added;
  }

  /** The digest of all that was added, with the algorithm. */
  async finish(): Promise<string> {
    await this.#turn;
    const { hex } = await this.#hash({ at: 0, sizeBytes: 0 }, true);
    return `${this.#algorithm}:${hex ?? ''}`;
  }

  #hash(span: MemorySpan, isLast: boolean) {
    return this.#workers.run({ kind: 'hash', name: this.#name, algorithm: this.#algorithm, span, isLast }, lane);
  }
}
