import type { ByteRange, LayerSource } from '../../partitions/slot-writer.ts';
import { AgentError } from '../core/errors.ts';
import type { Connection } from './connection.ts';
import { maxRanges, parseFromClient } from './messages.ts';

/** Asks kaond for the layers of one write, and hands their bytes out as the writer pulls them. */
export class LayerReceiver {
  readonly #connection: Connection;
  #isReading = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * A `LayerSource`. Rejects with `download-truncated` when kaond or its source fails. A layer that was not read to its
   * end leaves its bytes in the way of the next one, so that no other can be asked for.
   */
  readonly source: LayerSource = (digest, ranges) => this.#receive(digest, ranges);

  async *#receive(digest: string, ranges: readonly ByteRange[] | undefined): AsyncGenerator<Uint8Array> {
    if (ranges === undefined) {
      yield* this.#receivePart(digest, undefined);
      return;
    }
    for (let at = 0; at < ranges.length; at += maxRanges) {
      yield* this.#receivePart(digest, ranges.slice(at, at + maxRanges));
    }
  }

  async *#receivePart(digest: string, ranges: readonly ByteRange[] | undefined): AsyncGenerator<Uint8Array> {
    if (this.#isReading) throw new Error(`internal: cannot ask for layer ${digest}: another one is being read`);
    this.#isReading = true;
    await this.#connection.send({ type: 'want-layer', digest, ...(ranges === undefined ? {} : { ranges }) });
    for (;;) {
      const frame = await this.#connection.next();
      if (frame === undefined) throw new AgentError('download-truncated', `cannot read layer ${digest}: kaond is gone`);
      if (frame.kind === 'data') {
        yield frame.bytes;
        continue;
      }
      // After either word nothing more comes of this layer, and another can be asked for.
      const isFailed = parseFromClient(frame.value).type === 'layer-failed';
      this.#isReading = false;
      if (isFailed) throw new AgentError('download-truncated', `cannot read layer ${digest}: its source failed`);
      return;
    }
  }
}
