/**
 * The frames between kaond and kaon-slotd on a unix stream socket:
 *
 *   offset 0  u32  length of the payload, big endian
 *   offset 4  u8   kind: 1 = a JSON message, 2 = bytes of a layer
 *   offset 5  …    the payload
 *
 * A JSON message has at most 32 MiB (manifest, index, config and signatures of an image at their limits), a layer frame
 * at most 1 MiB.
 */
import { AgentError } from '../core/errors.ts';

export const wireLimits = { messageBytes: 32 * 1024 * 1024, dataBytes: 1024 * 1024 } as const;

const headerBytes = 5;
const kinds = { message: 1, data: 2 } as const;

/** What a reader gets: a whole message, or the next piece of layer bytes. */
export type WireFrame =
  { readonly kind: 'message'; readonly value: unknown } | { readonly kind: 'data'; readonly bytes: Uint8Array };

function header(kind: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(headerBytes);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(kind, 4);
  return bytes;
}

/** A JSON message as one buffer. Throws `slotd-protocol-invalid` when it is over its limit. */
export function encodeMessage(value: unknown): Uint8Array {
  const payload = Buffer.from(JSON.stringify(value), 'utf8');
  if (payload.byteLength > wireLimits.messageBytes) {
    throw new AgentError(
      'slotd-protocol-invalid',
      `cannot send a message to kaon-slotd: it has ${payload.byteLength} bytes, the limit is ${wireLimits.messageBytes}`,
    );
  }
  return Buffer.concat([header(kinds.message, payload.byteLength), payload]);
}

/** The header of a layer frame of `length` bytes; the bytes themselves follow as they are. */
export function encodeDataHeader(length: number): Uint8Array {
  return header(kinds.data, length);
}

/**
 * Reads frames from a byte stream, pulling only as it is asked: what is not consumed is not read from the socket.
 * Rejects with `slotd-protocol-invalid` for a frame over its limit, of unknown kind, or cut off.
 */
export class FrameReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #buffered: Buffer = Buffer.alloc(0);
  #dataLeft = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next frame, or `undefined` at the orderly end of the stream. Layer frames come in pieces as they arrive. */
  async next(): Promise<WireFrame | undefined> {
    for (;;) {
      if (this.#dataLeft > 0) return { kind: 'data', bytes: await this.#takeData() };
      const head = await this.#take(headerBytes, true);
      if (head === undefined) return undefined;
      const length = head.readUInt32BE(0);
      switch (head.readUInt8(4)) {
        case kinds.message:
          return { kind: 'message', value: await this.#takeMessage(length) };
        case kinds.data:
          if (length > wireLimits.dataBytes) throw tooLarge('layer frame', length, wireLimits.dataBytes);
          this.#dataLeft = length;
          break;
        default:
          throw new AgentError(
            'slotd-protocol-invalid',
            `cannot read from the socket: frame kind ${head.readUInt8(4)} is unknown`,
          );
      }
    }
  }

  /** Reads to the end of the stream, or `limitBytes`, and drops what it reads. Rejects with the stream's error. */
  async discard(limitBytes: number): Promise<void> {
    let leftBytes = limitBytes;
    while (leftBytes > 0) {
      const next = await this.#source.next();
      if (next.done === true) return;
      leftBytes -= next.value.byteLength;
    }
  }

  async #takeMessage(length: number): Promise<unknown> {
    if (length > wireLimits.messageBytes) throw tooLarge('message', length, wireLimits.messageBytes);
    const payload = await this.#take(length, false);
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    } catch (cause) {
      throw new AgentError('slotd-protocol-invalid', 'cannot read from the socket: a message is not JSON in UTF-8', {
        cause,
      });
    }
  }

  async #takeData(): Promise<Uint8Array> {
    if (this.#buffered.byteLength === 0 && !(await this.#fill())) throw cutOff();
    const bytes = this.#buffered.subarray(0, this.#dataLeft);
    this.#buffered = this.#buffered.subarray(bytes.byteLength);
    this.#dataLeft -= bytes.byteLength;
    return bytes;
  }

  async #take(length: number, mayEnd: boolean): Promise<Buffer | undefined> {
    while (this.#buffered.byteLength < length) {
      if (await this.#fill()) continue;
      if (mayEnd && this.#buffered.byteLength === 0) return undefined;
      throw cutOff();
    }
    const taken = this.#buffered.subarray(0, length);
    this.#buffered = this.#buffered.subarray(length);
    return taken;
  }

  async #fill(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#buffered =
      this.#buffered.byteLength === 0
        ? Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
        : Buffer.concat([this.#buffered, next.value]);
    return true;
  }
}

function cutOff(): AgentError {
  return new AgentError('slotd-protocol-invalid', 'cannot read from the socket: it ended inside a frame');
}

function tooLarge(what: string, length: number, limit: number): AgentError {
  return new AgentError(
    'slotd-protocol-invalid',
    `cannot read from the socket: a ${what} of ${length} bytes is over the limit of ${limit}`,
  );
}
