import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { getCACertificates } from 'node:tls';
import { isProxied, type RegistrySettings } from './settings.ts';
import { TunnelAgent } from './tunnel-agent.ts';

/** Idle connections kept per host, and the most that are open at once. */
const connections = { keepAlive: true, maxSockets: 8, maxFreeSockets: 2 } as const;

/**
 * The connections to one registry and to where it redirects. A private CA is trusted beside the public roots, since
 * blobs are often redirected to a public host. Through a proxy both https and plain http travel in CONNECT tunnels.
 */
export class HttpAgents {
  readonly #settings: RegistrySettings;
  readonly #http = new HttpAgent(connections);
  readonly #https: HttpsAgent;
  readonly #proxied: TunnelAgent | undefined;

  constructor(settings: RegistrySettings) {
    this.#settings = settings;
    const trusted = settings.ca === undefined ? {} : { ca: [...getCACertificates('default'), settings.ca] };
    this.#https = new HttpsAgent({ ...connections, ...trusted });
    this.#proxied =
      settings.proxy === undefined ? undefined : new TunnelAgent(settings.proxy.url, { ...connections, ...trusted });
  }

  /** The agent that reaches `url`. */
  agentFor(url: URL): HttpAgent {
    const { proxy } = this.#settings;
    if (this.#proxied !== undefined && proxy !== undefined && isProxied(url, proxy)) return this.#proxied;
    return url.protocol === 'https:' ? this.#https : this.#http;
  }

  /** Closes the idle connections. */
  close(): void {
    this.#http.destroy();
    this.#https.destroy();
    this.#proxied?.destroy();
  }
}
