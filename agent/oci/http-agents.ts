import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { LookupFunction } from 'node:net';
import { getCACertificates } from 'node:tls';
import { GuardedLookup } from './guarded-lookup.ts';
import { isProxied, type ProxySettings, type RegistrySettings } from './settings.ts';
import { TunnelAgent } from './tunnel-agent.ts';

/** Idle connections kept per host, and the most that are open at once. */
const connections = { keepAlive: true, maxSockets: 8, maxFreeSockets: 2 } as const;

/**
 * The connections to one registry and to where it redirects. A private CA is trusted beside the public roots, since
 * blobs are often redirected to a public host. A client certificate is shown to the registry itself alone, and where it
 * redirects may not be this node by a name. Through a proxy, which looks names up itself, both https and plain http
 * travel in CONNECT tunnels.
 */
export class HttpAgents {
  readonly #settings: RegistrySettings;
  readonly #own: Agents;
  readonly #foreign: Agents;

  /** `endpoint` is the registry's own; `system` looks names up, the system's way unless given. */
  constructor(endpoint: URL, settings: RegistrySettings, system?: LookupFunction) {
    this.#settings = settings;
    const { ca, client, proxy } = settings;
    const trusted = ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] };
    const names = new GuardedLookup(endpoint.hostname, system);
    this.#own = new Agents(proxy, names.own, { ...trusted, ...client });
    this.#foreign = new Agents(proxy, names.foreign, trusted);
  }

  /** The agent that reaches `url`; `isOwn` where that is the registry's own origin. */
  agentFor(url: URL, isOwn: boolean): HttpAgent {
    const { proxy } = this.#settings;
    const { http, https, proxied } = isOwn ? this.#own : this.#foreign;
    if (proxied !== undefined && proxy !== undefined && isProxied(url, proxy)) return proxied;
    return url.protocol === 'https:' ? https : http;
  }

  /** Closes the idle connections. */
  close(): void {
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

/** The agents of connections that show the same certificate, or none, and look names up in the same way. */
class Agents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
  readonly proxied: TunnelAgent | undefined;

  constructor(proxy: ProxySettings | undefined, lookup: LookupFunction, tls: TlsOptions) {
    this.http = new HttpAgent({ ...connections, lookup });
    this.https = new HttpsAgent({ ...connections, lookup, ...tls });
    this.proxied = proxy === undefined ? undefined : new TunnelAgent(proxy.url, { ...connections, ...tls });
  }

  destroy(): void {
    this.http.destroy();
    this.https.destroy();
    this.proxied?.destroy();
  }
}
