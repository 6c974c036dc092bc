/** Keys and identities by id, and the rules; `trust` of the image comes first and is never weakened by the node. */
export interface TrustConfig {
  readonly keys: Readonly<Record<string, TrustKeyConfig>>;
  /** Who signs with certificates: issuer and subject, exactly as in the certificate. */
  readonly identities: Readonly<Record<string, { readonly issuer: string; readonly subject: string }>>;
  /** Sigstore's trusted root, needed for identities and for entries of a log. */
  readonly trustedRoot: string | undefined;
  /** Ids, or fingerprints of keys, that no longer count. */
  readonly revoked: readonly string[];
  readonly rules: readonly TrustRuleConfig[];
  /** Prefixes of the repositories that updates may come from; `undefined`: any with a rule, see `fulfilsFollowed`. */
  readonly repositories?: readonly string[] | undefined;
  /** How long nothing newer may be offered before it is reported; `undefined`: it never is. */
  readonly reportSilenceAfterMs?: number | undefined;
}

/** A key of the trust policy. */
export interface TrustKeyConfig {
  readonly file: string;
  /** When it counts, both ends included; `undefined`: always. */
  readonly validity: { readonly notBeforeMs: number | undefined; readonly notAfterMs: number | undefined } | undefined;
}

/** What images below `prefix` must be signed with. */
export interface TrustRuleConfig {
  readonly prefix: string;
  readonly require: {
    readonly keys: readonly string[];
    readonly identities: readonly string[];
    /** So many different keys and identities. */
    readonly atLeast: number;
    /** How long ago a signature may have been made, by the time that a log or an authority attests. */
    readonly maxAgeMs: number | undefined;
  };
  /** Whether a signature by a key counts only with an entry of a transparency log. */
  readonly isLogEntryRequired: boolean;
  readonly isDowngradeAllowed: boolean;
  /** How images must have been built, and who may vouch for that; `undefined`: however. */
  readonly provenance: ProvenanceConfig | undefined;
}

/** What provenance must say, and by whom. All texts are compared exactly. */
export interface ProvenanceConfig {
  readonly keys: readonly string[];
  readonly identities: readonly string[];
  readonly builderId: string;
  readonly buildType: string;
  readonly sourceRepository: string;
  readonly sourceRef: string | undefined;
  /** External parameters by their path; any that is not here is refused. */
  readonly parameters: Readonly<Record<string, string>>;
}
