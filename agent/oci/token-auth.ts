import { AgentError } from '../core/errors.ts';
import type { Clock } from '../core/ports.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { CredentialLookup, Credentials } from './credentials.ts';
import type { HttpClient } from './http-client.ts';
import { describeUrl } from './redirect.ts';
import { statusError } from './status-error.ts';
import {
  basicAuthorization,
  formatScope,
  isCredentialHost,
  parseTokenAnswer,
  type RealmOwner,
  realmOf,
  type Scope,
  tokenRequest,
} from './token-request.ts';

const answerLimitBytes = 64 * 1024;
const cachedScopes = 64;

/** What the authorization of one registry works with. */
export interface AuthOptions {
  /** The registry as references name it. */
  readonly registry: string;
  readonly owner: RealmOwner;
  readonly http: HttpClient;
  readonly credentials: CredentialLookup;
  readonly clock: Clock;
}

interface CachedAuthorization {
  readonly value: string;
  readonly expiresAtMs: number;
}

/** Answers one registry's challenges, and remembers tokens by scope until shortly before they expire. */
export class RegistryAuth {
  readonly #options: AuthOptions;
  readonly #cache = new Map<string, CachedAuthorization>();

  constructor(options: AuthOptions) {
    this.#options = options;
  }

  /** What is known to be sent for `scope` without a challenge, or `undefined`. */
  known(scope: Scope): string | undefined {
    const cached = this.#cache.get(formatScope(scope));
    return cached !== undefined && cached.expiresAtMs > this.#options.clock.monotonicMs() ? cached.value : undefined;
  }

  /** Forgets what was sent for `scope`. */
  forget(scope: Scope): void {
    this.#cache.delete(formatScope(scope));
  }

  /**
   * Answers the WWW-Authenticate header of a 401. Rejects with `registry-unauthorized`, `registry-protocol-invalid`,
   * `config-invalid`, or what the token server's failure means.
   */
  async answer(header: string | undefined, scope: Scope, signal: AbortSignal): Promise<string> {
    const challenges = parseChallenges(header ?? '');
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer !== undefined) return this.#answerBearer(bearer, scope, signal);
    if (challenges.some(({ scheme }) => scheme === 'basic')) return this.#answerBasic(scope);
    const schemes = challenges.map(({ scheme }) => scheme).join(', ');
    throw this.#unauthorized(
      `it asks for ${schemes === '' ? 'nothing that is named' : schemes}, kaon knows bearer and basic`,
    );
  }

  async #answerBasic(scope: Scope): Promise<string> {
    const found = await this.#credentials(scope);
    if (found?.kind !== 'basic') {
      throw this.#unauthorized(
        `it wants a user name and password for ${scope.name}, name a file that holds them as authFile of the registry`,
      );
    }
    const value = basicAuthorization(found);
    this.#remember(scope, value, Number.POSITIVE_INFINITY);
    return value;
  }

  async #answerBearer(challenge: Challenge, scope: Scope, signal: AbortSignal): Promise<string> {
    const { owner, http, clock } = this.#options;
    const realm = realmOf(challenge, owner);
    const found = await this.#credentials(scope);
    if (found !== undefined && !isCredentialHost(realm, owner)) {
      throw this.#unauthorized(
        `its token server ${realm.host} is another host, which gets no credentials unless authHosts of the registry lists it`,
      );
    }
    const askedAtMs = clock.monotonicMs();
    const answer = await http.send(tokenRequest(realm, challenge.params.get('service'), scope, found), signal);
    if (answer.status !== 200) {
      throw await statusError(answer, 'get a token from', describeUrl(realm), clock);
    }
    const { token, lifeMs } = parseTokenAnswer(await answer.bytes(answerLimitBytes));
    // A token must not end between this check and the registry's.
    this.#remember(scope, `Bearer ${token}`, askedAtMs + lifeMs - Math.min(10_000, lifeMs / 10));
    return `Bearer ${token}`;
  }

  async #credentials({ name }: Scope): Promise<Credentials | undefined> {
    const found = await this.#options.credentials(this.#options.registry, name);
    if (found.kind === 'helper') {
      throw this.#unauthorized(
        `${found.file} leaves its credentials to the helper ${found.helper}, which kaon does not run; put them under auths`,
      );
    }
    return found.kind === 'none' ? undefined : found;
  }

  #remember(scope: Scope, value: string, expiresAtMs: number): void {
    const oldest = this.#cache.size >= cachedScopes ? this.#cache.keys().next().value : undefined;
    if (oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(formatScope(scope), { value, expiresAtMs });
  }

  #unauthorized(reason: string): AgentError {
    return new AgentError('registry-unauthorized', `cannot log in to ${this.#options.registry}: ${reason}`, {
      details: { registry: this.#options.registry },
    });
  }
}
