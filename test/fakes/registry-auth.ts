import type { IncomingMessage } from 'node:http';

/** Who may use the registry. Without it everybody may. */
export interface RegistryAuthOptions {
  readonly kind: 'basic' | 'bearer';
  readonly username: string;
  readonly password: string;
  /** A token for the OAuth 2 refresh, beside user and password. */
  readonly identityToken?: string;
  /** Whether pulling needs no credentials (bearer: but still a token). */
  readonly isPullAnonymous?: boolean;
  /** Put in place of the registry's own token server in its challenges. */
  readonly realm?: string;
}

/** Checks credentials and tokens of an embedded registry. */
export class RegistryGuard {
  readonly #options: RegistryAuthOptions;
  readonly #tokens = new Map<string, string>();
  #issued = 0;

  constructor(options: RegistryAuthOptions) {
    this.#options = options;
  }

  /** How many tokens were issued. */
  get issuedCount(): number {
    return this.#issued;
  }

  /** Lets every token issued so far expire. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** The challenge for a request that may not pass, or `undefined` when it may. */
  challenge(request: IncomingMessage, name: string, ownUrl: string): string | undefined {
    const isPull = request.method === 'GET' || request.method === 'HEAD';
    if (this.#options.kind === 'basic') {
      if ((isPull && this.#options.isPullAnonymous === true) || this.#isUser(request)) return undefined;
      return 'Basic realm="embedded, for tests"';
    }
    const scope = `repository:${name}:${isPull ? 'pull' : 'pull,push'}`;
    const granted = this.#tokens.get((request.headers.authorization ?? '').replace(/^Bearer /, ''));
    if (granted !== undefined && (granted === scope || (isPull && granted === `repository:${name}:pull,push`))) {
      return undefined;
    }
    const realm = this.#options.realm ?? `${ownUrl}/token`;
    return `Bearer realm="${realm}",service="embedded",scope="${scope}"`;
  }

  /** The answer of the token server: a token's JSON, or `undefined` for a refusal. */
  issue(request: IncomingMessage, url: URL, form: string): string | undefined {
    const posted = new URLSearchParams(form);
    const scope = url.searchParams.get('scope') ?? posted.get('scope') ?? '';
    const isRefresh = request.method === 'POST';
    const isUser = isRefresh
      ? posted.get('grant_type') === 'refresh_token' && posted.get('refresh_token') === this.#options.identityToken
      : this.#isUser(request);
    const isAnonymous = this.#options.isPullAnonymous === true && scope.endsWith(':pull') && !isRefresh;
    if (!isUser && !(isAnonymous && request.headers.authorization === undefined)) return undefined;
    this.#issued += 1;
    const token = `token-${this.#issued}`;
    this.#tokens.set(token, scope);
    return JSON.stringify({ [isRefresh ? 'access_token' : 'token']: token, expires_in: 300 });
  }

  #isUser(request: IncomingMessage): boolean {
    const { username, password } = this.#options;
    return request.headers.authorization === `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  }
}
