import type { ErrorReport } from './errors.ts';

/**
 * What asking a registry came to.
 * - `reached`: it answered, whatever it said.
 * - `not-asked`: the update comes from elsewhere.
 * - `cut-off`: this node has no way to any registry.
 * - `silent`: it could not be used, and an outage of it would look the same.
 */
export type RegistryReach = {
  readonly kind: 'reached' | 'not-asked' | 'cut-off' | 'silent';
  /** One sentence. */
  readonly text: string;
};

/** Asks the registry of the update that is under way. Rejects with the reason of `signal` alone. */
export interface RegistryProbe {
  probe(signal: AbortSignal): Promise<RegistryReach>;
}

/**
 * Reasons that lie on this node: no route or address, no permission to send, no name server that answers, certificates that
 * it cannot check, a clock before their time. What a registry that is down looks like as well is not among them: no answer,
 * a refused connection, an unknown name, a certificate that ran out, rejected credentials.
 */
const ownReasons: ReadonlySet<string> = new Set([
  ...['ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EPERM', 'EACCES', 'EAI_AGAIN', 'EAI_FAIL'],
  ...['UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ...['SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_NOT_YET_VALID'],
]);

/** What it means that asking the registry failed; `reason` is the system's word for it, where there is one. */
export function reachOf({ code, message }: ErrorReport, reason: string | undefined): RegistryReach {
  switch (code) {
    case 'image-not-found':
    case 'registry-rate-limited':
    case 'platform-not-found':
    case 'manifest-invalid':
      return { kind: 'reached', text: `the registry answers: ${message}` };
    case 'config-invalid':
      return { kind: 'cut-off', text: message };
    default:
      return reason !== undefined && ownReasons.has(reason)
        ? { kind: 'cut-off', text: message }
        : { kind: 'silent', text: message };
  }
}
