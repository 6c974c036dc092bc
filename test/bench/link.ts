import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** How bad the link between the node and the registry is. */
export interface LinkTraits {
  /** Bytes towards the node after which a connection ends. All of these arrive: what is lost is what the node does with them. */
  readonly cutAfterBytes?: number;
  /** Added to the way of each byte, there and back in halves. */
  readonly roundTripMs?: number;
  /** Bytes a second towards the node, over all connections. */
  readonly bytesPerSecond?: number;
}

type Limiter = (sizeBytes: number) => Promise<number>;

/** A TCP proxy before a registry that counts what goes to the node, and can be made as bad as links are. */
export class Link {
  readonly host: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #traits: LinkTraits = {};
  #toNodeBytes = 0;
  #connections = 0;
  #nextMs = 0;

  private constructor(server: Server) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Listens on loopback, and passes everything on to `registry`. */
  static async open(registry: string): Promise<Link> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const link = new Link(server);
    const port = Number(registry.split(':')[1]);
    server.on('connection', (node) => link.#pass(node, connect(port, '127.0.0.1')));
    return link;
  }

  /** Bytes that went to the node since `reset`, HTTP's own included. */
  get toNodeBytes(): number {
    return this.#toNodeBytes;
  }

  /** Connections that the node opened since `reset`. */
  get connections(): number {
    return this.#connections;
  }

  /** Counts from nothing, and is from now on as `traits` say. */
  reset(traits: LinkTraits = {}): void {
    this.#traits = traits;
    this.#toNodeBytes = 0;
    this.#connections = 0;
    this.#nextMs = 0;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #pass(node: Socket, registry: Socket): void {
    this.#connections += 1;
    for (const socket of [node, registry]) {
      socket.setNoDelay();
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      // The loop that reads it learns of the error, and ends the other side.
      socket.on('error', () => socket.destroy());
    }
    // Nobody is left to read. The other way round there may be bytes that are still on their way to the node.
    node.once('close', () => registry.destroy());
    void this.#carry(node, registry, async (sizeBytes) => sizeBytes);
    void this.#carry(registry, node, this.#limiter());
  }

  /** What is waited for and counted before a piece goes to the node; resolves to how much of it goes. */
  #limiter(): Limiter {
    let passedBytes = 0;
    return async (sizeBytes) => {
      const { cutAfterBytes = Number.POSITIVE_INFINITY, bytesPerSecond } = this.#traits;
      const takenBytes = Math.min(sizeBytes, cutAfterBytes - passedBytes);
      passedBytes += takenBytes;
      this.#toNodeBytes += takenBytes;
      if (bytesPerSecond === undefined) return takenBytes;
      this.#nextMs = Math.max(this.#nextMs, performance.now()) + (takenBytes * 1000) / bytesPerSecond;
      const waitMs = this.#nextMs - performance.now();
      if (waitMs > 1) await delay(waitMs);
      return takenBytes;
    };
  }

  /** Passes bytes on in order. Those on their way are bounded, as the buffers of a real link are. */
  async #carry(from: Socket, to: Socket, limit: Limiter): Promise<void> {
    let last: Promise<unknown> = Promise.resolve();
    let underWayBytes = 0;
    try {
      for await (const read of from as AsyncIterable<Buffer>) {
        const piece = read.subarray(0, await limit(read.byteLength));
        const arrivesMs = performance.now() + (this.#traits.roundTripMs ?? 0) / 2;
        underWayBytes += piece.byteLength;
        last = last.then(async () => {
          const waitMs = arrivesMs - performance.now();
          if (waitMs > 0.5) await delay(waitMs);
          underWayBytes -= piece.byteLength;
          await sent(to, piece);
        });
        if (underWayBytes > maxUnderWayBytes) await last;
        // Leaving the loop ends the side that is read.
        if (piece.byteLength < read.byteLength) break;
      }
      await last;
      to.end();
    } catch {
      // The other side is gone, or was cut: so is this one.
      to.destroy();
    }
  }
}

/** Of a link of 64 MiB/s with half a second there and back. */
const maxUnderWayBytes = 32 * 1024 * 1024;

async function sent(to: Socket, piece: Buffer): Promise<void> {
  if (to.destroyed || to.write(piece)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      to.off('drain', done);
      to.off('close', done);
      resolve();
    };
    to.once('drain', done);
    to.once('close', done);
  });
}
