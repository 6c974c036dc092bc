import { z } from 'zod';
import { AgentError } from '../core/errors.ts';

/** What is sent to a registry, or to its token server. Never logged. */
export type Credentials =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** A long-lived token that is exchanged for short ones. */
  | { readonly kind: 'identity-token'; readonly token: string };

/** What a credentials file says of a repository. */
export type FoundCredentials =
  | Credentials
  /** It has nothing for it: pulls are anonymous. */
  | { readonly kind: 'none' }
  /** It names a helper program, which kaon does not run. */
  | { readonly kind: 'helper'; readonly helper: string; readonly file: string };

/** Finds the credentials for a repository (`registry` as in references, `name` below it). Rejects with `config-invalid`. */
export type CredentialLookup = (registry: string, name: string) => Promise<FoundCredentials>;

/** A parsed credentials file. */
export interface CredentialFile {
  readonly path: string;
  /** By registry or namespace, normalised. */
  readonly entries: ReadonlyMap<string, Credentials | undefined>;
  readonly helpers: ReadonlyMap<string, string>;
  readonly store: string | undefined;
}

const fileSchema = z.object({
  auths: z
    .record(
      z.string(),
      z.object({
        auth: z.string().optional(),
        username: z.string().optional(),
        password: z.string().optional(),
        identitytoken: z.string().optional(),
      }),
    )
    .optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});

function invalid(path: string, reason: string): AgentError {
  return new AgentError('config-invalid', `cannot use credentials file ${path}: ${reason}`, { details: { path } });
}

/** Docker writes some keys as URLs (`https://index.docker.io/v1/`), containers' tools as `host[:port][/namespace]`. */
function normaliseKey(key: string): string {
  const url = /^https?:\/\/([^/]+)/i.exec(key);
  const [host = '', ...rest] = (url?.[1] ?? key).split('/');
  const lower = host.toLowerCase();
  const registry = ['index.docker.io', 'registry-1.docker.io'].includes(lower) ? 'docker.io' : lower;
  return [registry, ...rest.filter((part) => part !== '')].join('/');
}

function decodeAuth(auth: string, path: string, key: string): Credentials {
  const want = 'base64 of user:password';
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(auth)) throw invalid(path, `auths.${key}.auth is not ${want}`);
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) throw invalid(path, `auths.${key}.auth is not ${want}`);
  // Only the first colon parts: a user name has none (RFC 7617), a password may.
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
}

/** Parses containers' `auth.json` or Docker's `config.json`. Throws `config-invalid`, which never quotes a secret. */
export function parseCredentialFile(text: string, path: string): CredentialFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, and with it a secret.
    throw invalid(path, 'it is not JSON');
  }
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw invalid(path, `${issue?.path.join('.') ?? 'the document'}: ${issue?.message ?? 'invalid'}`);
  }
  const entries = new Map<string, Credentials | undefined>();
  for (const [key, entry] of Object.entries(parsed.data.auths ?? {})) {
    const name = normaliseKey(key);
    if (entries.get(name) !== undefined) continue;
    entries.set(name, entryCredentials(entry, path, key));
  }
  const helpers = Object.entries(parsed.data.credHelpers ?? {}).map(
    ([key, value]) => [normaliseKey(key), value] as const,
  );
  return { path, entries, helpers: new Map(helpers), store: parsed.data.credsStore };
}

function entryCredentials(
  entry: {
    auth?: string | undefined;
    username?: string | undefined;
    password?: string | undefined;
    identitytoken?: string | undefined;
  },
  path: string,
  key: string,
): Credentials | undefined {
  if (entry.identitytoken !== undefined && entry.identitytoken !== '') {
    return { kind: 'identity-token', token: entry.identitytoken };
  }
  if (entry.auth !== undefined && entry.auth !== '') return decodeAuth(entry.auth, path, key);
  if (entry.username === undefined || entry.password === undefined) return undefined;
  return { kind: 'basic', username: entry.username, password: entry.password };
}

/**
 * The credentials for `registry/name`: those of the longest namespace that is a whole-component prefix, else of the
 * registry. Nothing matches by part of a component.
 */
export function findCredentials(file: CredentialFile, registry: string, name: string): FoundCredentials {
  const parts = `${registry}/${name}`.split('/');
  for (let length = parts.length; length > 0; length--) {
    const found = file.entries.get(parts.slice(0, length).join('/'));
    if (found !== undefined) return found;
  }
  const helper = file.helpers.get(registry) ?? (file.entries.has(registry) ? file.store : undefined);
  return helper === undefined ? { kind: 'none' } : { kind: 'helper', helper, file: file.path };
}
