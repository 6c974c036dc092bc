import { describe, expect, it } from 'vitest';
import { isCredentialHost, parseTokenAnswer, realmOf, tokenRequest } from '../../../agent/oci/token-request.ts';

const owner = { endpoint: new URL('https://registry.test'), isInsecure: false, authHosts: ['auth.test'] };
const challenge = (realm: string) => ({ scheme: 'bearer', params: new Map([['realm', realm]]) });
const scope = { name: 'os/edge', actions: 'pull' } as const;

describe('realmOf', () => {
  it.each([
    '',
    'token',
    'http://registry.test/token',
    'ftp://registry.test/',
    'https://u:secret@registry.test/',
    'https://127.0.0.1/token',
  ])('refuses %j', (realm) => {
    expect(() => realmOf(challenge(realm), owner)).toThrow(
      expect.objectContaining({ code: 'registry-protocol-invalid' }),
    );
  });

  it('takes plain http only from a registry that is marked insecure', () => {
    const insecure = { ...owner, endpoint: new URL('http://registry.test'), isInsecure: true };
    expect(realmOf(challenge('http://registry.test/token'), insecure).host).toBe('registry.test');
  });
});

describe('isCredentialHost', () => {
  it.each([
    ['https://registry.test/token', true],
    ['https://auth.test/token', true],
    ['https://registry.test:444/token', false],
    ['https://evil.registry.test/token', false],
    ['http://auth.test/token', false],
  ])('of %s is %s', (realm, expected) => {
    expect(isCredentialHost(new URL(realm), owner)).toBe(expected);
  });
});

describe('tokenRequest', () => {
  const realm = new URL('https://auth.test/token?account=a');
  it('asks for the pull scope by GET, with the user where there is one', () => {
    const request = tokenRequest(realm, 'the service', scope, { kind: 'basic', username: 'u', password: 'p:q' });
    expect(request).toMatchObject({ method: 'GET', authorization: `Basic ${Buffer.from('u:p:q').toString('base64')}` });
    expect(Object.fromEntries(request.url.searchParams)).toEqual({
      account: 'a',
      service: 'the service',
      scope: 'repository:os/edge:pull',
    });
    expect(tokenRequest(realm, undefined, scope, undefined).authorization).toBeUndefined();
  });

  it('sends an identity token in the body of a POST, never in the URL', () => {
    const request = tokenRequest(realm, 's', scope, { kind: 'identity-token', token: 'tell-nobody' });
    expect(request.method).toBe('POST');
    expect(request.url.href).not.toContain('tell-nobody');
    expect(new URLSearchParams(request.body as string).get('refresh_token')).toBe('tell-nobody');
  });
});

describe('parseTokenAnswer', () => {
  const parse = (value: unknown) =>
    parseTokenAnswer(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
  it('takes either name of the token and lets it live a minute at least', () => {
    expect(parse({ token: 't', expires_in: 300 })).toEqual({ token: 't', lifeMs: 300_000 });
    expect(parse({ access_token: 'a', expires_in: 5 })).toEqual({ token: 'a', lifeMs: 60_000 });
    expect(parse({ token: 't' }).lifeMs).toBe(60_000);
  });

  it.each([
    'tell-nobody',
    {},
    [],
    { token: '' },
    { token: 'tell-nobody\r\nx: y' },
    { token: 7 },
    { token: 'x'.repeat(20_000) },
  ])('refuses %j without quoting it', (value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'registry-protocol-invalid' }));
    expect(() => parse(value)).not.toThrow(/tell-nobody/);
  });
});
