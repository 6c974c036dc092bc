import { open } from 'node:fs/promises';
import { CliError } from './exit-codes.ts';
import type { CliDeps } from './invocation.ts';

/** The text of `file`, or of stdin for `-`, of at most `limitBytes`. Rejects with `usage-invalid`. */
export async function readInput(deps: CliDeps, file: string, limitBytes: number): Promise<string> {
  const name = file === '-' ? 'stdin' : file;
  const refuse = (reason: string, cause?: unknown) =>
    new CliError('usage-invalid', `cannot read ${name}: ${reason}`, {
      fix: `Name a file of at most ${limitBytes} bytes.`,
      cause,
    });
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for await (const piece of file === '-' ? deps.openInput() : fileBytes(file)) {
      sizeBytes += piece.byteLength;
      if (sizeBytes > limitBytes) throw refuse(`it has more than ${limitBytes} bytes`);
      pieces.push(piece);
    }
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw refuse(cause instanceof Error ? cause.message : String(cause), cause);
  }
  return Buffer.concat(pieces).toString('utf8');
}

async function* fileBytes(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r');
  try {
    yield* file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>;
  } finally {
    await file.close();
  }
}
