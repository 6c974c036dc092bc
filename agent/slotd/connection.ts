import type { Duplex } from 'node:stream';
import { once } from 'node:events';
import { encodeDataHeader, encodeMessage, FrameReader, type WireFrame, wireLimits } from './wire-frames.ts';

/** One end of the socket: frames in as they are pulled, frames out as the other side takes them. */
export class Connection {
  readonly #stream: Duplex;
  readonly #reader: FrameReader;
  readonly #closed = new AbortController();

  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#reader = new FrameReader(stream);
    // An error ends the stream; who reads or writes hears of it there.
    stream.on('error', () => this.#closed.abort());
    stream.on('close', () => this.#closed.abort());
  }

  /** Aborts once the other side is gone. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** The next frame, or `undefined` at the end. Rejects with `slotd-protocol-invalid` or the socket's error. */
  async next(): Promise<WireFrame | undefined> {
    return this.#reader.next();
  }

  /** Sends a message; resolves when the socket has room for more. */
  async send(value: unknown): Promise<void> {
    await this.#write(encodeMessage(value));
  }

  /** Sends a message without waiting; dropped when the other side does not keep up. */
  sendIfRoom(value: unknown): void {
    if (!this.#stream.writableNeedDrain && !this.#closed.signal.aborted) this.#stream.write(encodeMessage(value));
  }

  /** Sends layer bytes; resolves when the socket has room for more. */
  async sendData(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.byteLength; offset += wireLimits.dataBytes) {
      const piece = bytes.subarray(offset, offset + wireLimits.dataBytes);
      this.#stream.write(encodeDataHeader(piece.byteLength));
      await this.#write(piece);
    }
  }

  /**
   * Ends the connection once what was sent is out. What the other side was about to send is dropped: with it unread the
   * connection would never close, and closed at once, the other side could miss the answer.
   */
  end(): void {
    const isOut = new Promise<void>((resolve) => {
      this.#stream.end(resolve);
    });
    const isHeard = this.#reader.discard(wireLimits.messageBytes).catch(() => undefined);
    void Promise.all([isOut, isHeard]).then(() => this.#stream.destroy());
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#stream.destroy();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (this.#closed.signal.aborted) return;
    if (!this.#stream.write(bytes)) {
      // Either it drains or it closes; after a close the next read tells what happened.
      await once(this.#stream, 'drain', { signal: this.#closed.signal }).catch(() => undefined);
    }
  }
}
