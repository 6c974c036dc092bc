import type { KaonConfig, RegistryConfig } from '../config/config.ts';
import { readKeyFile, readTrustedRootFile } from '../config/load-config.ts';
import type { RegistryAccess } from '../image/registry-access.ts';
import { type PolicyInput, policyOfRules } from '../image/trust-access.ts';

/** The trust policy of `config`, its files read now; the time is not before `floors`. Rejects with `key-invalid` or `config-invalid`. */
export async function policyOfConfig(
  { trust }: KaonConfig,
  nowMs: () => number,
  floors: PolicyInput['floors'],
): ReturnType<typeof policyOfRules> {
  const { trustedRoot, revoked, rules, repositories } = trust;
  const keys = Object.entries(trust.keys).map(async ([id, { file, validity }]) => ({
    id,
    pem: await readKeyFile(file),
    validity,
  }));
  return policyOfRules({
    keys: await Promise.all(keys),
    identities: Object.entries(trust.identities).map(([id, identity]) => ({ id, ...identity })),
    revoked,
    rules,
    repositories,
    trustedRoot: trustedRoot === undefined ? undefined : await readTrustedRootFile(trustedRoot),
    nowMs,
    floors,
  });
}

/** How the node reaches the registry and its mirrors; of the registry itself the options have the first word. */
export function nodeAccess(
  given: RegistryAccess,
  { registries, registriesConf }: Pick<KaonConfig, 'registries' | 'registriesConf'>,
  registry: string,
): RegistryAccess {
  const known = Object.hasOwn(registries, registry) ? registries[registry] : undefined;
  const own = known === undefined ? given : accessTo(known);
  const others = Object.entries(registries).map(([host, other]) => [host, accessTo(other)] as const);
  return {
    ...own,
    authFile: given.authFile ?? own.authFile,
    caFile: given.caFile ?? own.caFile,
    isInsecureHttp: given.isInsecureHttp || own.isInsecureHttp,
    places: { mirrors: known?.mirrors ?? [], registriesConf, others: Object.fromEntries(others) },
  };
}

function accessTo(known: RegistryConfig): RegistryAccess {
  const { authFile, authHosts, caFile, isInsecureHttpAllowed, proxy, noProxy } = known;
  const { clientCertFile: certFile, clientKeyFile: keyFile } = known;
  return {
    authFile,
    authHosts,
    caFile,
    isInsecureHttp: isInsecureHttpAllowed,
    proxy,
    noProxy,
    client: certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile },
  };
}
