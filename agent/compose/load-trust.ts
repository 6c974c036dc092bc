import type { KaonConfig } from '../config/config.ts';
import { readKeyFile } from '../config/load-config.ts';
import { parseTrustKey, type TrustKey } from '../trust/keys.ts';
import type { TriggerKey } from '../trust/trigger-envelope.ts';
import { RuleTrustPolicy } from '../trust/trust-policy.ts';

/** The trust policy of the configuration, its keys read now. Rejects with `key-invalid` or `config-invalid`. */
export async function loadTrustPolicy({ keys, rules }: KaonConfig['trust']): Promise<RuleTrustPolicy> {
  return new RuleTrustPolicy({ keys: await loadKeys(keys), rules });
}

/** The controllers' keys, read now. Rejects with `key-invalid`. */
export async function loadTriggerKeys({ keys }: KaonConfig['triggers']): Promise<readonly TriggerKey[]> {
  return Promise.all(
    Object.entries(keys).map(async ([id, { file, actions }]) => ({ key: await loadKey(id, file), actions })),
  );
}

async function loadKeys(keys: Readonly<Record<string, { readonly file: string }>>): Promise<readonly TrustKey[]> {
  return Promise.all(Object.entries(keys).map(([id, { file }]) => loadKey(id, file)));
}

async function loadKey(id: string, file: string): Promise<TrustKey> {
  return parseTrustKey(id, await readKeyFile(file));
}
