import { readFile, stat } from 'node:fs/promises';
import { AgentError } from '../core/errors.ts';
import type { Platform } from '../core/image-format/manifest.ts';
import type { Reference } from '../core/image-format/reference.ts';
import type { Clock, ImageSource, Random } from '../core/ports.ts';
import { type CopiedImage, copyImage, type OnBlob } from '../oci/copy-image.ts';
import { lookupInFiles } from '../oci/credential-files.ts';
import { LayoutImageSource } from '../oci/layout-source.ts';
import { type Mirror, placesOf } from '../oci/mirrors.ts';
import { parseOfflineLocation } from '../oci/offline-location.ts';
import { placesByConf } from '../oci/registries-conf.ts';
import { readRegistriesConf } from '../oci/registries-conf-files.ts';
import { RegistryPusher } from '../oci/registry-pusher.ts';
import { RegistryImageSource } from '../oci/registry-source.ts';
import { defaultTransferLimits, type RegistrySettings } from '../oci/settings.ts';

/** How the registry of an image is reached. */
export interface RegistryAccess {
  /** Containers' auth.json or Docker's config.json; `undefined`: anonymous. */
  readonly authFile: string | undefined;
  /** PEM certificates that are trusted beside the public roots. */
  readonly caFile: string | undefined;
  readonly isInsecureHttp: boolean;
  /** `http://host:port` */
  readonly proxy: string | undefined;
  /** Hosts that are reached without the proxy. */
  readonly noProxy?: readonly string[];
  /** What is shown to prove who asks, in PEM files. */
  readonly client?: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Hosts beside its own that may be sent its credentials for a token. */
  readonly authHosts?: readonly string[];
  /** Where images are fetched before the registry is asked, and how these places are reached; absent: it alone is asked. */
  readonly places?: KnownPlaces;
}

/** What a node's configuration says of the places of images. */
export interface KnownPlaces {
  readonly mirrors: readonly Mirror[];
  /** The registries.conf that is read where it exists and there are no mirrors; `undefined`: none. */
  readonly registriesConf: string | undefined;
  /** How other registries are reached, by `host[:port]`. */
  readonly others: Readonly<Record<string, RegistryAccess>>;
}

/** What registries are reached with, and which image of an index is meant. */
export interface AccessPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly platform: Platform;
}

/** A source with the connections that it holds. */
export interface OpenedSource {
  readonly source: ImageSource;
  close(): void;
}

const caLimitBytes = 1024 * 1024;

/**
 * Where `reference` is read from: the layout or archive that `from` names, else its registry. Rejects with
 * `usage-invalid` for a malformed `from`, `config-invalid` for a CA file that can't be read.
 */
export async function openImageSource(
  reference: Reference,
  from: string | undefined,
  access: RegistryAccess,
  ports: AccessPorts,
): Promise<OpenedSource> {
  if (from !== undefined) {
    const source = new LayoutImageSource(parseOfflineLocation(from), ports.platform);
    return { source, close: () => undefined };
  }
  const source = new RegistryImageSource({
    ...(await reachOf(reference, access)),
    clock: ports.clock,
    random: ports.random,
    limits: defaultTransferLimits,
    platform: ports.platform,
  });
  return {
    source,
    close: () => {
      source.close();
    },
  };
}

/** Opens the repository of `reference` for pushing and signing; whoever opens it closes it. Rejects with `config-invalid`. */
export async function openPusher(
  reference: Reference,
  access: RegistryAccess,
  ports: AccessPorts,
): Promise<RegistryPusher> {
  return new RegistryPusher(reference, await settingsOf(access), registryPorts(reference, access, ports));
}

/**
 * Copies an image and its signatures out of the layout or archive `from` to where `reference` says. Rejects with
 * `usage-invalid`, and the codes of layout and registry.
 */
export async function pushImage(
  from: string,
  reference: Reference,
  access: RegistryAccess,
  ports: AccessPorts,
  onBlob: OnBlob,
  signal: AbortSignal,
): Promise<CopiedImage> {
  const location = parseOfflineLocation(from);
  const pusher = await openPusher(reference, access, ports);
  try {
    return await copyImage(location, pusher, reference, onBlob, signal);
  } finally {
    pusher.close();
  }
}

/** The image of a layout (DIR[:NAME], or oci-archive:FILE). Throws `usage-invalid`. */
export function openLayoutSource(text: string, platform: Platform): ImageSource {
  return new LayoutImageSource(parseOfflineLocation(/^oci(?:-archive)?:/.test(text) ? text : `oci:${text}`), platform);
}

/** Directory and name of `DIR[:NAME]`. Throws `usage-invalid`. */
export function parseLayoutLocation(text: string): {
  readonly directory: string;
  readonly refName: string | undefined;
} {
  const { path, refName } = parseOfflineLocation(`oci:${text}`);
  return { directory: path, refName };
}

function registryPorts(reference: Reference, { authFile }: RegistryAccess, { clock, random }: AccessPorts) {
  const credentials = lookupInFiles(authFile === undefined ? {} : { [reference.registry]: authFile });
  return { credentials, clock, random, limits: defaultTransferLimits };
}

/** The registries that `reference` may be fetched from, the files of no others read. */
async function reachOf(reference: Reference, access: RegistryAccess) {
  const { mirrors = [], registriesConf, others = {} } = access.places ?? {};
  const isByConf = mirrors.length === 0 && registriesConf !== undefined;
  const rules = isByConf ? await readRegistriesConf(registriesConf) : [];
  const places = (isByConf ? placesByConf(reference, rules) : undefined) ?? placesOf(reference, mirrors);
  const known = { ...others, [reference.registry]: access };
  const reached = Object.entries(known).filter(([host]) => places.some(({ registry }) => registry === host));
  const settings = await Promise.all(reached.map(async ([host, one]) => [host, await settingsOf(one)] as const));
  const files = reached.flatMap(([host, { authFile }]) => (authFile === undefined ? [] : [[host, authFile]]));
  return {
    rules,
    registries: Object.fromEntries(settings),
    credentials: lookupInFiles(Object.fromEntries(files) as Record<string, string>),
  };
}

async function settingsOf(access: RegistryAccess): Promise<RegistrySettings> {
  const { caFile, isInsecureHttp, proxy, noProxy = [], client, authHosts, places } = access;
  return {
    insecureHttp: isInsecureHttp,
    ...(authHosts === undefined ? {} : { authHosts }),
    ...(places === undefined ? {} : { mirrors: places.mirrors }),
    ...(caFile === undefined ? {} : { ca: await readPemFile('CA file', caFile) }),
    ...(client === undefined
      ? {}
      : {
          client: {
            cert: await readPemFile('client certificate', client.certFile),
            key: await readPemFile('client key', client.keyFile),
          },
        }),
    ...(proxy === undefined ? {} : { proxy: { url: proxy, except: noProxy } }),
  };
}

async function readPemFile(what: string, path: string): Promise<string> {
  const invalid = (reason: string, cause?: unknown) =>
    new AgentError('config-invalid', `cannot use ${what} ${path}: ${reason}`, { details: { path }, cause });
  try {
    const { size } = await stat(path);
    if (size > caLimitBytes) throw invalid(`it has ${size} bytes, the limit is ${caLimitBytes}`);
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  }
}
