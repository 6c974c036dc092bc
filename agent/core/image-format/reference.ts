import { AgentError } from '../errors.ts';
import { isDigest } from './digest.ts';

/** A parsed image reference. */
export interface Reference {
  /** `host[:port]`, lower case; `docker.io` where none was written. */
  readonly registry: string;
  /** The name below the registry, with `library/` where Docker Hub implies it. */
  readonly name: string;
  /** `registry/name`: what trust rules match against. */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

const maxLength = 1024;
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const namePattern = new RegExp(`^${component}(?:/${component})*$`);
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const hostPattern =
  /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*)(?::[0-9]{1,5})?$/;

function refuse(text: string, reason: string): never {
  throw new AgentError(
    'reference-invalid',
    `cannot use image reference ${JSON.stringify(text.slice(0, 200))}: ${reason}`,
    {
      details: { field: 'image', value: text.slice(0, 200) },
    },
  );
}

function splitHost(text: string, rest: string): { registry: string; name: string } {
  const slash = rest.indexOf('/');
  const first = slash === -1 ? '' : rest.slice(0, slash);
  const isHost = first.toLowerCase() === 'localhost' || /[.:[]/.test(first);
  // Written in lower case, as hosts are, it would be a repository of Docker Hub.
  if (!isHost && first !== first.toLowerCase()) {
    refuse(text, `${JSON.stringify(first)} is no host: want a dot or a port in it, or a name in lower case`);
  }
  if (!isHost) {
    return { registry: 'docker.io', name: rest.includes('/') ? rest : `library/${rest}` };
  }
  if (!hostPattern.test(first)) refuse(text, `${JSON.stringify(first)} is no host[:port]`);
  return { registry: first.toLowerCase(), name: rest.slice(slash + 1) };
}

/**
 * Parses `[host[:port]/]name[:tag][@digest]` by the grammar of the OCI distribution spec ("Pulling manifests") and the
 * host defaulting that Docker's clients share. Throws `reference-invalid` with what is wrong.
 */
export function parseReference(text: string): Reference {
  if (text.length === 0) refuse(text, 'it is empty');
  if (text.length > maxLength) refuse(text, `it is longer than ${maxLength} characters`);
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest))
    refuse(text, 'the digest after @ is not sha256 or sha512 in lower-case hex');
  const beforeDigest = at === -1 ? text : text.slice(0, at);
  const colon = beforeDigest.lastIndexOf(':');
  const hasTag = colon > beforeDigest.lastIndexOf('/') && colon > beforeDigest.lastIndexOf(']');
  const tag = hasTag ? beforeDigest.slice(colon + 1) : undefined;
  if (tag !== undefined && !tagPattern.test(tag)) refuse(text, `${JSON.stringify(tag)} is no tag`);
  const { registry, name } = splitHost(text, hasTag ? beforeDigest.slice(0, colon) : beforeDigest);
  if (!namePattern.test(name))
    refuse(text, `${JSON.stringify(name)} is no repository name (lower-case letters, digits, . _ - and /)`);
  return { registry, name, repository: `${registry}/${name}`, tag, digest };
}

/** The reference in full: with its tag (`latest` where neither tag nor digest was given) and digest. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag ?? (reference.digest === undefined ? 'latest' : undefined);
  return `${reference.repository}${tag === undefined ? '' : `:${tag}`}${reference.digest === undefined ? '' : `@${reference.digest}`}`;
}
