import type { Mirror } from './mirrors.ts';
import type { RetryPolicy } from './retry.ts';

/** A proxy between the node and a registry. */
export interface ProxySettings {
  /** `http://host:port` or `https://host:port`, with `user:password@` where it wants them. */
  readonly url: string;
  /** Hosts that are reached without it: `host`, `host:port`, or `.domain` for all below; `*` for every host. */
  readonly except: readonly string[];
}

/** What the node knows of one registry. Without settings a registry is reached over https with the public roots. */
export interface RegistrySettings {
  /** PEM certificates that are trusted beside the public roots. */
  readonly ca?: string;
  /** What the node shows to prove who it is, in PEM; to the registry's own origin alone. */
  readonly client?: { readonly cert: string; readonly key: string };
  /** Plain HTTP; only for registries that the operator named so. */
  readonly insecureHttp?: boolean;
  readonly proxy?: ProxySettings;
  /** Hosts (`host[:port]`) beside the registry's own that may be sent its credentials for a token. */
  readonly authHosts?: readonly string[];
  /** Where its images may be fetched before the registry itself is asked, in that order. */
  readonly mirrors?: readonly Mirror[];
}

/** How long and how often a registry is asked. */
export interface TransferLimits {
  /** Longest wait for the head of an answer, and for the next bytes of its body. */
  readonly stallTimeoutMs: number;
  /** Fewest bytes of a body in `stallTimeoutMs` of waiting for them. */
  readonly slowestBytes: number;
  /** Longest wait for the whole of an answer other than a layer. */
  readonly answerTimeoutMs: number;
  /** For manifests, configs, tokens and uploads. */
  readonly retry: RetryPolicy;
  /** For layers; counted from the last progress. */
  readonly layerRetry: RetryPolicy;
}

/** Limits that suit a node on a mobile link. */
export const defaultTransferLimits: TransferLimits = {
  stallTimeoutMs: 30_000,
  slowestBytes: 4096,
  answerTimeoutMs: 120_000,
  retry: { attempts: 5, baseDelayMs: 500, maxDelayMs: 10_000, totalTimeMs: 60_000 },
  layerRetry: { attempts: 10, baseDelayMs: 500, maxDelayMs: 20_000, totalTimeMs: 300_000 },
};

/** The root of a registry's API. Docker Hub answers on another host than its references name. */
export function endpointOf(registry: string, settings: RegistrySettings): URL {
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  return new URL(`${settings.insecureHttp === true ? 'http' : 'https'}://${host}`);
}

/** The hosts that may be sent the registry's credentials for a token, beside its own. */
export function authHostsOf(registry: string, settings: RegistrySettings): readonly string[] {
  return [...(settings.authHosts ?? []), ...(registry === 'docker.io' ? ['auth.docker.io'] : [])];
}

/** Whether `url` is reached through the proxy, by the rules that NO_PROXY lists follow. */
export function isProxied(url: URL, proxy: ProxySettings): boolean {
  return !proxy.except.some((entry) => {
    const wanted = entry.trim().toLowerCase();
    if (wanted === '') return false;
    if (wanted === '*' || wanted === url.hostname || wanted === url.host) return true;
    const domain = wanted.replace(/^\*?\./, '');
    return domain !== wanted && url.hostname.endsWith(`.${domain}`);
  });
}
