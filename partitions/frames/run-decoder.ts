import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * Pulls `source` through `decoder` with back-pressure, and destroys both when the caller stops early. An error of
 * `source` is rethrown as it is; an error of the decoder is rethrown as what `name` makes of it.
 */
export async function* runDecoder(
  source: AsyncIterable<Uint8Array>,
  decoder: Transform,
  name: (error: unknown) => Error,
): AsyncGenerator<Uint8Array> {
  let sourceFailure: { readonly error: unknown } | undefined;
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      sourceFailure = { error };
      throw error;
    }
  }
  const fed = pipeline(Readable.from(watched(), { highWaterMark: 1 }), decoder);
  // The loop below meets the same error; without this the process would see an unhandled rejection first.
  fed.catch(() => undefined);
  try {
    for await (const bytes of decoder as AsyncIterable<Uint8Array>) yield bytes;
    await fed;
  } catch (error) {
    throw sourceFailure === undefined ? name(error) : sourceFailure.error;
  }
}
