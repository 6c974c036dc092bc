import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';

/** Answers one CONNECT; `target` is `host:port`. */
export type ServeTunnel = (target: string, client: Duplex) => void;

/** Leads a tunnel to `host:port`. */
export function tunnelTo(target: string, client: Duplex): void {
  const [host = '', port = ''] = target.split(':');
  const upstream = connect(Number(port), host, () => {
    client.write('HTTP/1.1 200 OK\r\n\r\n');
    upstream.pipe(client);
    client.pipe(upstream);
  });
  upstream.on('error', () => client.destroy());
  client.on('error', () => upstream.destroy());
  client.on('close', () => upstream.destroy());
}

/** A proxy on loopback that knows CONNECT alone. */
export class ConnectProxy {
  /** Where it was asked to lead. */
  readonly tunnels: string[] = [];
  readonly #server: Server = createServer();

  private constructor(serve: ServeTunnel) {
    this.#server.on('connect', (request, client) => {
      this.tunnels.push(request.url ?? '');
      serve(request.url ?? '', client);
    });
  }

  static async start(serve: ServeTunnel = tunnelTo): Promise<ConnectProxy> {
    const proxy = new ConnectProxy(serve);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await promisify(this.#server.close.bind(this.#server))();
  }
}
