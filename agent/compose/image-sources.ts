import { readFile, stat } from 'node:fs/promises';
import type { KaonConfig, RegistryConfig } from '../config/config.ts';
import { AgentError } from '../core/errors.ts';
import type { Clock, ImageSourceFactory, Random } from '../core/ports.ts';
import { lookupInFiles } from '../oci/credential-files.ts';
import { LayoutImageSource } from '../oci/layout-source.ts';
import { parseOfflineLocation } from '../oci/offline-location.ts';
import { readRegistriesConf } from '../oci/registries-conf-files.ts';
import { RegistryImageSource } from '../oci/registry-source.ts';
import { platformOf } from '../oci/resolve-image.ts';
import { defaultTransferLimits, type RegistrySettings } from '../oci/settings.ts';

/**
 * Registries as the configuration names them, and as a registries.conf does where there is one; and offline archives.
 * Rejects with `config-invalid`.
 */
export async function buildImageSources(
  { registries, registriesConf }: Pick<KaonConfig, 'registries' | 'registriesConf'>,
  clock: Clock,
  random: Random,
): Promise<ImageSourceFactory> {
  const entries = Object.entries(registries);
  const settings = await Promise.all(
    entries.map(async ([host, registry]) => [host, await settingsOf(host, registry)] as const),
  );
  const authFiles = entries.flatMap(([host, { authFile }]) => (authFile === undefined ? [] : [[host, authFile]]));
  const platform = platformOf(process.arch);
  const source = new RegistryImageSource({
    registries: Object.fromEntries(settings),
    rules: registriesConf === undefined ? [] : await readRegistriesConf(registriesConf),
    credentials: lookupInFiles(Object.fromEntries(authFiles) as Record<string, string>),
    platform,
    clock,
    random,
    limits: defaultTransferLimits,
  });
  return (from) => (from === undefined ? source : new LayoutImageSource(parseOfflineLocation(from), platform));
}

async function settingsOf(host: string, registry: RegistryConfig): Promise<RegistrySettings> {
  const { authHosts, caFile, clientCertFile, clientKeyFile, isInsecureHttpAllowed, proxy, noProxy, mirrors } = registry;
  const read = (field: string, path: string, mark: PemKind) => readPem(`registries.${host}.${field}`, path, mark);
  return {
    ...(caFile === undefined ? {} : { ca: await read('caFile', caFile, 'CERTIFICATE') }),
    ...(clientCertFile === undefined || clientKeyFile === undefined
      ? {}
      : {
          client: {
            cert: await read('clientCertFile', clientCertFile, 'CERTIFICATE'),
            key: await read('clientKeyFile', clientKeyFile, 'PRIVATE KEY'),
          },
        }),
    authHosts,
    insecureHttp: isInsecureHttpAllowed,
    mirrors,
    ...(proxy === undefined ? {} : { proxy: { url: proxy, except: noProxy } }),
  };
}

const pemLimitBytes = 1024 * 1024;

type PemKind = 'CERTIFICATE' | 'PRIVATE KEY';

async function readPem(field: string, path: string, mark: PemKind): Promise<string> {
  const invalid = (reason: string, cause?: unknown) =>
    new AgentError('config-invalid', `cannot use ${field} ${path}: ${reason}`, {
      details: { path },
      ...(cause === undefined ? {} : { cause }),
    });
  const { text, mode } = await readText(path).catch((cause: unknown) => {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  });
  // Its group may read a key: the agent is no root, and root's file is shared with it by its group.
  if (mark === 'PRIVATE KEY' && (mode & 0o037) !== 0) throw invalid(`others may use it; run chmod 640 ${path}`);
  const isMarked = text.split('\n').some((line) => line.startsWith('-----BEGIN ') && line.includes(mark));
  if (!isMarked) throw invalid(`it holds no PEM ${mark.toLowerCase()}`);
  return text;
}

async function readText(path: string): Promise<{ readonly text: string; readonly mode: number }> {
  const { size, mode } = await stat(path);
  if (size > pemLimitBytes) throw new Error(`it has ${size} bytes, the limit is ${pemLimitBytes}`);
  return { text: await readFile(path, 'utf8'), mode };
}
