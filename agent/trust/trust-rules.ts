import { AgentError } from '../core/errors.ts';
import { isSameIdentity, type TrustIdentity } from './identities.ts';
import type { TrustKey } from './keys.ts';
import type { ProvenanceExpectation } from './provenance.ts';

/** What images below `prefix` must be signed with. */
export interface TrustRule {
  /** `registry/name`, or a part of it that ends at a `/`. */
  readonly prefix: string;
  readonly require: {
    readonly keys: readonly string[];
    readonly identities?: readonly string[];
    /** So many different keys or identities must have signed. */
    readonly atLeast: number;
    /** Signatures whose attested time lies further back do not count. */
    readonly maxAgeMs?: number | undefined;
  };
  /** Whether signatures by keys count only with an entry of a transparency log. */
  readonly isLogEntryRequired?: boolean;
  readonly isDowngradeAllowed: boolean;
  /** How its images must have been built, and who vouches for that. */
  readonly provenance?: ProvenanceRule | undefined;
}

/** Provenance that images must have: one signer of the builder is enough, and nobody else counts. */
export interface ProvenanceRule extends ProvenanceExpectation {
  readonly keys: readonly string[];
  readonly identities: readonly string[];
}

/** Whom and what the rules may name. */
export interface TrustSigners {
  readonly keys: readonly TrustKey[];
  readonly identities?: readonly TrustIdentity[];
  /** Ids or fingerprints of keys, and ids of identities, that no longer count. */
  readonly revoked?: readonly string[];
}

/** A rule with its keys and identities, each once however many ids it has. */
export interface ResolvedRule {
  readonly prefix: string;
  readonly keys: readonly TrustKey[];
  readonly identities: readonly TrustIdentity[];
  /** Ids of those above that no longer count. */
  readonly revokedIds: readonly string[];
  readonly atLeast: number;
  readonly maxAgeMs: number | undefined;
  readonly isLogEntryRequired: boolean;
  readonly isDowngradeAllowed: boolean;
  readonly provenance: ResolvedProvenance | undefined;
}

/** The signers of a builder, and what they must state. */
export interface ResolvedProvenance extends Pick<
  ResolvedRule,
  'keys' | 'identities' | 'revokedIds' | 'maxAgeMs' | 'isLogEntryRequired'
> {
  readonly expected: ProvenanceExpectation;
}

/** The ids of all who can fulfil `rule`. */
export function signerIds({ keys, identities }: ResolvedRule): readonly string[] {
  return [...keys, ...identities].map(({ id }) => id);
}

/** Whether the verdict of `rule` depends on the time. */
export function needsTime({ keys, maxAgeMs, provenance }: ResolvedRule): boolean {
  return (
    maxAgeMs !== undefined || [...keys, ...(provenance?.keys ?? [])].some(({ validity }) => validity !== undefined)
  );
}

/** Whether `rule` can only be judged with a trusted root. */
export function needsSigstore({
  require: { identities = [] },
  isLogEntryRequired = false,
  provenance,
}: TrustRule): boolean {
  return identities.length > 0 || isLogEntryRequired || (provenance?.identities.length ?? 0) > 0;
}

/** Joins rules and those whom they name. Throws `config-invalid` for a rule that can never be, or is always, fulfilled. */
export function resolveRules(signers: TrustSigners, rules: readonly TrustRule[]): readonly ResolvedRule[] {
  return rules.map((rule, index) => resolveRule(signers, rule, index));
}

function resolveRule(signers: TrustSigners, rule: TrustRule, index: number): ResolvedRule {
  const refuse = (reason: string) =>
    new AgentError('config-invalid', `cannot use trust.rules.${index} (${rule.prefix}): ${reason}`, {
      details: { path: `trust.rules.${index}` },
    });
  const { atLeast, maxAgeMs, keys: keyIds, identities: identityIds = [] } = rule.require;
  const { keys, identities, revokedIds } = resolveSigners(signers, keyIds, identityIds, refuse);
  const count = keys.length + identities.length;
  if (!Number.isInteger(atLeast) || atLeast < 1) throw refuse(`atLeast is ${atLeast}, want 1 or more`);
  if (atLeast > count) {
    const what = identities.length === 0 ? 'keys' : 'keys and identities';
    throw refuse(`atLeast is ${atLeast}, and it names ${count} distinct ${what}`);
  }
  const isLogEntryRequired = rule.isLogEntryRequired ?? false;
  if (maxAgeMs !== undefined && keys.length > 0 && !isLogEntryRequired) {
    throw refuse('maxAge says nothing of a signature by a key alone; want requireTransparencyLog: true, or no keys');
  }
  return {
    prefix: rule.prefix,
    keys,
    identities,
    revokedIds,
    atLeast,
    maxAgeMs,
    isLogEntryRequired,
    isDowngradeAllowed: rule.isDowngradeAllowed,
    provenance: rule.provenance && resolveProvenance(signers, rule.provenance, isLogEntryRequired, refuse),
  };
}

function resolveProvenance(
  signers: TrustSigners,
  { keys, identities, ...expected }: ProvenanceRule,
  isLogEntryRequired: boolean,
  refuse: (reason: string) => AgentError,
): ResolvedProvenance {
  const resolved = resolveSigners(signers, keys, identities, refuse);
  if (keys.length + identities.length === 0) throw refuse('its provenance names nobody who may sign it');
  // The age of provenance is that of the build: it is not what maxAge is about.
  return { ...resolved, expected, isLogEntryRequired, maxAgeMs: undefined };
}

function resolveSigners(
  signers: TrustSigners,
  keyIds: readonly string[],
  identityIds: readonly string[],
  refuse: (reason: string) => AgentError,
): Pick<ResolvedRule, 'keys' | 'identities' | 'revokedIds'> {
  const { identities: allIdentities = [], revoked = [] } = signers;
  const keys = distinctBy(
    keyIds.map((id) => named(signers.keys, id, () => refuse(`key ${id} is not under trust.keys`))),
    (one, other) => one.fingerprint === other.fingerprint,
  );
  const identities = distinctBy(
    identityIds.map((id) => named(allIdentities, id, () => refuse(`identity ${id} is not under trust.identities`))),
    isSameIdentity,
  );
  // A key that is revoked under one id or by its fingerprint is revoked under all.
  const fingerprints = new Set([
    ...revoked,
    ...signers.keys.filter(({ id }) => revoked.includes(id)).map(({ fingerprint }) => fingerprint),
  ]);
  const revokedIds = [
    ...keys.filter(({ fingerprint }) => fingerprints.has(fingerprint)),
    ...identities.filter((one) =>
      allIdentities.some((other) => revoked.includes(other.id) && isSameIdentity(one, other)),
    ),
  ].map(({ id }) => id);
  return { keys, identities, revokedIds };
}

function named<T extends { readonly id: string }>(all: readonly T[], id: string, missing: () => AgentError): T {
  const found = all.find((candidate) => candidate.id === id);
  if (found === undefined) throw missing();
  return found;
}

function distinctBy<T>(all: readonly T[], isSame: (one: T, other: T) => boolean): readonly T[] {
  return all.filter((one, at) => all.findIndex((other) => isSame(one, other)) === at);
}

/** Whether `prefix` ends at the border of a path component of `repository`. */
export function isBelow(repository: string, prefix: string): boolean {
  const base = prefix.endsWith('/') ? prefix.slice(0, -1) : prefix;
  return base !== '' && (repository === base || repository.startsWith(`${base}/`));
}

/** The rule of the longest prefix of `repository` that ends at the border of a path component. */
export function ruleFor<T extends { readonly prefix: string }>(rules: readonly T[], repository: string): T | undefined {
  return rules
    .filter(({ prefix }) => isBelow(repository, prefix))
    .sort((one, other) => other.prefix.length - one.prefix.length)[0];
}
