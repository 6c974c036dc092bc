import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import type { Fault } from './registry-faults.ts';

/** Bytes written at a time, so that a slow reader holds the writer. */
const pieceBytes = 64 * 1024;

/** An answer with a body. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

function withFault(answer: Answer, fault: Fault | undefined): Answer {
  const { headers, body } = answer;
  switch (fault?.kind) {
    case 'answer':
      return { status: fault.status, headers: fault.headers ?? {}, body: Buffer.from(fault.body ?? '') };
    case 'corrupt': {
      const changed = Buffer.from(body);
      const last = changed.byteLength - 1;
      changed[last] = (changed[last] ?? 0) ^ 1;
      return { ...answer, body: changed };
    }
    case 'truncate':
      return { ...answer, body: body.subarray(0, fault.toBytes) };
    case 'extend':
      return { ...answer, body: Buffer.concat([body, Buffer.alloc(fault.byBytes)]) };
    case 'headers':
      return { ...answer, headers: { ...headers, ...fault.headers } };
    default:
      return answer;
  }
}

/** What is sent of `body`, one piece after the other. */
async function* piecesOf(body: Buffer, fault: Fault | undefined): AsyncGenerator<Buffer> {
  const stepBytes = fault?.kind === 'trickle' ? 1 : pieceBytes;
  for (let start = 0; start < body.byteLength; start += stepBytes) {
    if (fault?.kind === 'trickle') await fault.beforeByte();
    const piece = body.subarray(start, start + stepBytes);
    yield piece;
    if (fault?.kind === 'slow') await setTimeout((piece.byteLength / fault.bytesPerSecond) * 1000);
  }
  while (fault?.kind === 'endless') yield Buffer.alloc(pieceBytes, 0x20);
}

async function trickleHead(response: ServerResponse, beforeByte: () => Promise<void>): Promise<void> {
  const { socket } = response;
  socket?.write('HTTP/1.1 200 OK\r\nx-padding: ');
  while (socket?.destroyed === false) {
    await beforeByte();
    socket.write('x');
  }
}

/** Sends `answer`, spoilt by `fault`. `onSent` is told of the bytes that the connection took. */
export async function sendAnswer(
  response: ServerResponse,
  answer: Answer,
  fault: Fault | undefined,
  onSent: (sizeBytes: number) => void,
): Promise<void> {
  if (fault?.kind === 'silence') return;
  if (fault?.kind === 'hang-up') {
    response.socket?.destroy();
    return;
  }
  if (fault?.kind === 'trickle-head') return trickleHead(response, fault.beforeByte);
  if (fault?.kind === 'wait') await fault.until();
  const { status, headers, body } = withFault(answer, fault);
  const isUndeclared = fault?.kind === 'endless' || (fault?.kind === 'extend' && !fault.isDeclared);
  response.writeHead(status, {
    ...(isUndeclared ? { connection: 'close' } : { 'content-length': String(body.byteLength) }),
    ...headers,
  });
  if (response.req.method === 'HEAD') {
    response.end();
    return;
  }
  const isEarlyEnd = fault?.kind === 'cut' || fault?.kind === 'stall';
  const end = isEarlyEnd ? Math.min(fault.afterBytes, body.byteLength) : body.byteLength;
  if (end === 0) response.flushHeaders();
  const pieces = async function* () {
    for await (const piece of piecesOf(body.subarray(0, end), fault)) {
      yield piece;
      onSent(piece.byteLength);
    }
  };
  try {
    await pipeline(pieces, response, { end: false });
  } catch (error) {
    // The reader went away, as it may.
    if (!response.destroyed) throw error;
    return;
  }
  if (fault?.kind === 'stall') return;
  // FIN after what was written: the reader gets exactly these bytes, then the end.
  if (fault?.kind === 'cut') response.socket?.destroySoon();
  else response.end();
}
