import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { AgentError } from '../core/errors.ts';

/** The bytes of a regular file that is not empty. Rejects with `usage-invalid`. */
export async function* readContent(what: string, file: string): AsyncGenerator<Uint8Array> {
  const refuse = (reason: string, cause?: unknown) =>
    new AgentError('usage-invalid', `cannot read ${file} for ${what}: ${reason}`, { cause });
  let isEmpty = true;
  try {
    if (!(await stat(file)).isFile()) throw refuse('it is no regular file');
    for await (const piece of createReadStream(file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
      isEmpty = false;
      yield piece;
    }
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw refuse(cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (isEmpty) throw refuse('it is empty');
}
