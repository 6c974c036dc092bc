import type { KaonConfig } from '../config/config.ts';
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

/** What the node knows of the registry, where the options say nothing. */
export function nodeAccess(given: RegistryAccess, { registries }: KaonConfig, registry: string): RegistryAccess {
  const known = Object.hasOwn(registries, registry) ? registries[registry] : undefined;
  const { clientCertFile: certFile, clientKeyFile: keyFile, noProxy = [] } = known ?? {};
  return {
    authFile: given.authFile ?? known?.authFile,
    caFile: given.caFile ?? known?.caFile,
    isInsecureHttp: given.isInsecureHttp || known?.isInsecureHttpAllowed === true,
    proxy: known?.proxy,
    noProxy,
    client: certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile },
  };
}
