import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { getCACertificates } from 'node:tls';
import { isProxied, type RegistrySettings } from './settings.ts';
import { TunnelAgent } from './tunnel-agent.ts';

/** Idle connections kept per host, and the most that are open at once. */
const connections = { keepAlive: true, maxSockets: 8, maxFreeSockets: 2 } as const;

/**
 * The connections to one registry and to where it redirects. A private CA is trusted beside the public roots, since
 * blobs are often redirected to a public host. A client certificate is shown to the registry itself alone. Through a
 * proxy both https and plain http travel in CONNECT tunnels.
 */
export class HttpAgents {
  readonly #settings: RegistrySettings;
  readonly #http = new HttpAgent(connections);
  readonly #own: SecureAgents;
  readonly #foreign: SecureAgents;

  constructor(settings: RegistrySettings) {
    this.#settings = settings;
    const { ca, client } = settings;
    const trusted = ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] };
    this.#foreign = new SecureAgents(settings, trusted);
    this.#own = client === undefined ? this.#foreign : new SecureAgents(settings, { ...trusted, ...client });
  }

  /** The agent that reaches `url`; `isOwn` where that is the registry's own origin. */
  agentFor(url: URL, isOwn: boolean): HttpAgent {
    const { proxy } = this.#settings;
    const agents = isOwn ? this.#own : this.#foreign;
    if (agents.proxied !== undefined && proxy !== undefined && isProxied(url, proxy)) return agents.proxied;
    return url.protocol === 'https:' ? agents.https : this.#http;
  }

  /** Closes the idle connections. */
  close(): void {
    this.#http.destroy();
    this.#own.destroy();
    this.#foreign.destroy();
  }
}

/** What TLS is given beside its defaults. */
interface TlsOptions {
  readonly ca?: string[];
  readonly cert?: string;
  readonly key?: string;
}

/** The agents of connections that show the same certificate, or none. */
class SecureAgents {
  readonly https: HttpsAgent;
  readonly proxied: TunnelAgent | undefined;

  constructor({ proxy }: RegistrySettings, tls: TlsOptions) {
    this.https = new HttpsAgent({ ...connections, ...tls });
    this.proxied = proxy === undefined ? undefined : new TunnelAgent(proxy.url, { ...connections, ...tls });
  }

  destroy(): void {
    this.https.destroy();
    this.proxied?.destroy();
  }
}
