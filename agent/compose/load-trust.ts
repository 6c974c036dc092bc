import type { KaonConfig } from '../config/config.ts';
import { readKeyFile, readTrustedRootFile } from '../config/load-config.ts';
import { type KeyValidity, parseTrustKey, type TrustKey } from '../trust/keys.ts';
import { loadSigstore } from '../trust/sigstore.ts';
import type { TriggerKey } from '../trust/trigger-envelope.ts';
import { RuleTrustPolicy } from '../trust/trust-policy.ts';
import { needsSigstore } from '../trust/trust-rules.ts';
import type { TrustTime } from '../trust/trust-time.ts';

/**
 * The trust policy of the configuration, its keys and its trusted root read now; the root and what verifies by it only
 * where a rule needs them. Rejects with `key-invalid` or `config-invalid`.
 */
export async function loadTrustPolicy(trust: KaonConfig['trust'], time: () => TrustTime): Promise<RuleTrustPolicy> {
  const { trustedRoot, rules, revoked, repositories } = trust;
  const isRootNeeded = trustedRoot !== undefined && rules.some(needsSigstore);
  return new RuleTrustPolicy({
    keys: await loadKeys(trust.keys),
    identities: Object.entries(trust.identities).map(([id, identity]) => ({ id, ...identity })),
    revoked,
    rules,
    repositories,
    sigstore: isRootNeeded ? await loadSigstore(await readTrustedRootFile(trustedRoot)) : undefined,
    time,
  });
}

/** The controllers' keys, read now. Rejects with `key-invalid`. */
export async function loadTriggerKeys({ keys }: KaonConfig['triggers']): Promise<readonly TriggerKey[]> {
  return Promise.all(
    Object.entries(keys).map(async ([id, { file, actions }]) => ({ key: await loadKey(id, file), actions })),
  );
}

async function loadKeys(keys: KaonConfig['trust']['keys']): Promise<readonly TrustKey[]> {
  return Promise.all(Object.entries(keys).map(([id, { file, validity }]) => loadKey(id, file, validity)));
}

async function loadKey(id: string, file: string, validity?: KeyValidity): Promise<TrustKey> {
  return parseTrustKey(id, await readKeyFile(file), validity);
}
