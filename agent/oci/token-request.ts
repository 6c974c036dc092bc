import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import type { Challenge } from './challenge.ts';
import type { Credentials } from './credentials.ts';
import { describeUrl, mayLeadTo } from './redirect.ts';
import type { HttpRequest } from './http-client.ts';

/** Which repository, and what may be done with it. */
export interface Scope {
  readonly name: string;
  readonly actions: 'pull' | 'pull,push';
}

/** The scope as token servers spell it (distribution, "Token Scope Documentation"). */
export function formatScope(scope: Scope): string {
  return `repository:${scope.name}:${scope.actions}`;
}

/** The registry that a realm was named by. */
export interface RealmOwner {
  readonly endpoint: URL;
  readonly isInsecure: boolean;
  readonly authHosts: readonly string[];
}

const shortestLifeMs = 60_000;

/** Checks the realm of a bearer challenge: the registry chose it. Throws `registry-protocol-invalid`. */
export function realmOf(challenge: Challenge, owner: RealmOwner): URL {
  const refuse = (reason: string) =>
    new AgentError('registry-protocol-invalid', `cannot get a token for ${owner.endpoint.host}: ${reason}`);
  const realm = URL.parse(challenge.params.get('realm') ?? '');
  if (realm === null) throw refuse('its challenge has no realm that is a URL');
  if (realm.username !== '' || realm.password !== '') throw refuse('its realm holds a user name or password');
  const isPlain = realm.protocol === 'http:';
  if (isPlain ? !owner.isInsecure : realm.protocol !== 'https:') {
    throw refuse(`its realm ${describeUrl(realm)} is not https`);
  }
  if (!mayLeadTo(owner.endpoint.hostname, realm.hostname)) {
    throw refuse(`its realm ${describeUrl(realm)} is an address of this node itself or of its link`);
  }
  return realm;
}

/** Whether the registry's credentials may be sent to `realm`: its own origin, or a listed host over https. */
export function isCredentialHost(realm: URL, owner: RealmOwner): boolean {
  if (realm.origin === owner.endpoint.origin) return true;
  return owner.authHosts.includes(realm.host) && (realm.protocol === 'https:' || owner.isInsecure);
}

/** The value of a Basic Authorization header. */
export function basicAuthorization(credentials: Credentials & { readonly kind: 'basic' }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64')}`;
}

/** The request for a token: a GET, or for an identity token the POST of an OAuth 2 refresh. */
export function tokenRequest(
  realm: URL,
  service: string | undefined,
  scope: Scope,
  credentials: Credentials | undefined,
): HttpRequest {
  if (credentials?.kind === 'identity-token') {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'kaon',
      scope: formatScope(scope),
      refresh_token: credentials.token,
    });
    if (service !== undefined) form.set('service', service);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { method: 'POST', url: realm, headers, body: form.toString() };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', formatScope(scope));
  return { method: 'GET', url, authorization: credentials && basicAuthorization(credentials) };
}

const answerSchema = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
});

/** Parses a token server's answer. Throws `registry-protocol-invalid`, which never quotes the answer. */
export function parseTokenAnswer(bytes: Uint8Array): { readonly token: string; readonly lifeMs: number } {
  const refuse = (reason: string) =>
    new AgentError('registry-protocol-invalid', `cannot read the answer of the token server: ${reason}`);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw refuse('it is not JSON');
  }
  const parsed = answerSchema.safeParse(json);
  if (!parsed.success) throw refuse('its fields are of the wrong type');
  const token = parsed.data.token ?? parsed.data.access_token ?? '';
  // What is no visible ASCII would break out of the header that it is put in.
  if (!/^[\x21-\x7e]{1,16384}$/.test(token)) throw refuse('it holds no token');
  return { token, lifeMs: Math.max(shortestLifeMs, (parsed.data.expires_in ?? 0) * 1000) };
}
