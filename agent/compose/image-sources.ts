import { readFile } from 'node:fs/promises';
import type { KaonConfig, RegistryConfig } from '../config/config.ts';
import { AgentError } from '../core/errors.ts';
import type { Clock, ImageSourceFactory, Random } from '../core/ports.ts';
import { lookupInFiles } from '../oci/credential-files.ts';
import { LayoutImageSource } from '../oci/layout-source.ts';
import { parseOfflineLocation } from '../oci/offline-location.ts';
import { RegistryImageSource } from '../oci/registry-source.ts';
import { platformOf } from '../oci/resolve-image.ts';
import { defaultTransferLimits, type RegistrySettings } from '../oci/settings.ts';

/** Registries as the configuration names them, and offline archives. Rejects with `config-invalid`. */
export async function buildImageSources(
  registries: KaonConfig['registries'],
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
    credentials: lookupInFiles(Object.fromEntries(authFiles) as Record<string, string>),
    platform,
    clock,
    random,
    limits: defaultTransferLimits,
  });
  return (from) => (from === undefined ? source : new LayoutImageSource(parseOfflineLocation(from), platform));
}

async function settingsOf(host: string, registry: RegistryConfig): Promise<RegistrySettings> {
  const { caFile, isInsecureHttpAllowed, proxy } = registry;
  return {
    ...(caFile === undefined ? {} : { ca: await readCa(host, caFile) }),
    insecureHttp: isInsecureHttpAllowed,
    ...(proxy === undefined ? {} : { proxy: { url: proxy, except: [] } }),
  };
}

async function readCa(host: string, path: string): Promise<string> {
  const invalid = (reason: string, cause?: unknown) =>
    new AgentError('config-invalid', `cannot use registries.${host}.caFile ${path}: ${reason}`, {
      details: { path },
      ...(cause === undefined ? {} : { cause }),
    });
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  });
  if (!text.includes('BEGIN CERTIFICATE')) throw invalid('it holds no PEM certificate');
  return text;
}
