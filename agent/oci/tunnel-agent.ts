import type { ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { HttpsProxyAgent } from 'https-proxy-agent';

type ConnectOptions = Parameters<HttpsProxyAgent<string>['connect']>[1];

/** Tells that a proxy refused a tunnel; `code` holds its status. */
class TunnelRefusedError extends Error {
  readonly code: string;

  constructor(status: number) {
    super(`the proxy answers CONNECT with ${status}`);
    this.name = 'TunnelRefusedError';
    this.code = `PROXY_REFUSED_${status}`;
  }
}

/**
 * Connections in CONNECT tunnels through a proxy. Beside its base it hands the trusted certificates and the client's own
 * on to the connection inside the tunnel, the latter not to the proxy, and never lets a proxy's refusal pass for the registry's answer.
 */
export class TunnelAgent extends HttpsProxyAgent<string> {
  readonly #tls: { readonly ca?: string[]; readonly cert?: string; readonly key?: string };

  constructor(
    proxy: string,
    options: { keepAlive: boolean; maxSockets: number; ca?: string[]; cert?: string; key?: string },
  ) {
    const { ca, cert, key, ...connections } = options;
    super(proxy, { ...connections, ...(ca === undefined ? {} : { ca }) });
    this.#tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
    };
  }

  override async connect(request: ClientRequest, options: ConnectOptions): Promise<Socket> {
    let status = 0;
    request.once('proxyConnect', (answer: { statusCode: number }) => {
      status = answer.statusCode;
    });
    const socket = await super.connect(request, options.secureEndpoint ? this.#inner(options) : options);
    if (status === 200) return socket;
    socket.destroy();
    throw new TunnelRefusedError(status);
  }

  /** The base drops the host before it starts TLS, and would check an IP address's certificate for `localhost`. */
  #inner(options: ConnectOptions & { secureEndpoint: true }): ConnectOptions {
    const host = options.host ?? '';
    return {
      ...options,
      checkServerIdentity: (_name: string, peer: PeerCertificate) => checkServerIdentity(host, peer),
      ...this.#tls,
    };
  }
}
