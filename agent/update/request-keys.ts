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
   * Runs `start` with the id of the new update unless `key` asked for one before; `body` is what the request asks for.
   * Rejects with `idempotency-key-reused` when the key came with another body before.
   */
  async once(
    key: string | undefined,
    body: string,
    newId: string,
    start: (updateId: string) => Promise<void>,
  ): Promise<Accepted> {
    if (key === undefined) {
      await start(newId);
      return { updateId: newId, isRepeated: false };
    }
    // One after the other: two requests with one key at the same time must not both start.
    const turn = this.#turn.then(async () => {
      const bodyDigest = digestOf(new TextEncoder().encode(body));
      const known = await this.#journal.idempotencyKey(key);
      // A key whose update was never saved is free: the request was refused, or the power went between the two saves.
      if (known === undefined || (await this.#journal.update(known.updateId)) === undefined) {
        // The key first: power lost after both is answered by the key, never by a second update.
        await this.#journal.saveIdempotencyKey(key, newId, bodyDigest);
        await start(newId);
        return { updateId: newId, isRepeated: false };
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
