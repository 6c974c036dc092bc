import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { encodeDataHeader, encodeMessage, FrameReader } from '../../agent/slotd/wire-frames.ts';

/** The end of a request: `result`, or the code of an `error`; `closed` where kaon-slotd just hung up. */
export type Ending = string;

/** What is sent for a layer that kaon-slotd wants. */
export type Answer = (wanted: {
  readonly digest: string;
  readonly ranges?: readonly { readonly offset: number; readonly sizeBytes: number }[];
}) => readonly Uint8Array[] | undefined;

/** A frame of layer bytes. */
export function dataFrame(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([encodeDataHeader(bytes.byteLength), bytes]);
}

export const layerEnd = encodeMessage({ type: 'layer-end' });

/** A kaond in the hands of an attacker: it sends kaon-slotd whatever it likes. */
export class LyingKaond {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Sends a message that says the right version of the protocol. */
  async ask(request: object, answer?: Answer): Promise<Ending> {
    return this.send([encodeMessage({ protocol: 2, ...request })], answer);
  }

  /** Sends bytes as they are; to each layer that is wanted what `answer` gives, `undefined` hangs up. */
  async send(bytes: readonly Uint8Array[], answer: Answer = () => undefined): Promise<Ending> {
    const socket = connect(this.#path);
    await once(socket, 'connect');
    // kaon-slotd may hang up before it has read everything.
    socket.on('error', () => socket.destroy());
    for (const each of bytes) socket.write(each);
    try {
      return await this.#follow(socket, answer);
    } finally {
      socket.destroy();
    }
  }

  async #follow(socket: Socket, answer: Answer): Promise<Ending> {
    const reader = new FrameReader(socket);
    for (;;) {
      const frame = await reader.next().catch(() => undefined);
      if (frame?.kind !== 'message') return 'closed';
      const message = frame.value as { readonly type: string; readonly code?: string; readonly digest?: string };
      if (message.type === 'result') return 'result';
      if (message.type === 'error') return message.code ?? '';
      if (message.type !== 'want-layer') continue;
      const sent = answer(message as Parameters<Answer>[0]);
      if (sent === undefined) return 'closed';
      for (const each of sent) socket.write(each);
    }
  }
}
