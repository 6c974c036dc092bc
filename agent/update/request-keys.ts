import type { Accepted } from '../core/control.ts';
import { AgentError } from '../core/errors.ts';
import { digestOf } from '../core/image-format/digest.ts';
import type { Journal } from '../core/ports.ts';

/** Makes a repeated request with the same Idempotency-Key answer what the first one did. */
export class RequestKeys {
  readonly #journal: Journal;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /**
   * Runs `start` unless `key` was used; `body` is what the request asks for. Rejects with `idempotency-key-reused`
   * when the key came with another body before.
   */
  async once(key: string | undefined, body: string, start: () => Promise<string>): Promise<Accepted> {
    if (key === undefined) return { updateId: await start(), isRepeated: false };
    // One after the other: two requests with one key at the same time must not both start.
    const turn = this.#turn.then(async () => {
      const bodyDigest = digestOf(new TextEncoder().encode(body));
      const known = await this.#journal.idempotencyKey(key);
      if (known === undefined) {
        const updateId = await start();
        await this.#journal.saveIdempotencyKey(key, updateId, bodyDigest);
        return { updateId, isRepeated: false };
      }
      if (known.bodyDigest !== bodyDigest) {
        throw new AgentError(
          'idempotency-key-reused',
          `cannot take the request: key ${JSON.stringify(key)} was used for another one`,
        );
      }
      return { updateId: known.updateId, isRepeated: true };
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}
