import { AgentError } from '../core/errors.ts';

/** A URL for messages: never its query, which may be a presigned secret. */
export function describeUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/**
 * Whether `hostname` (as a URL spells it) is this machine, or on its link, by its text alone; no name is looked up.
 * `undefined` for all others.
 */
export function localityOf(hostname: string): 'loopback' | 'link-local' | undefined {
  const host = hostname.toLowerCase();
  if (host === 'localhost' || host.endsWith('.localhost')) return 'loopback';
  const isIpv4 = /^[0-9.]+$/.test(host);
  if (isIpv4 && /^127\.|^0\./.test(host)) return 'loopback';
  if (isIpv4 && host.startsWith('169.254.')) return 'link-local';
  if (/^\[(::1?|::ffff:(7f[0-9a-f]{2}|[0-9a-f]{1,2}):.*)\]$/.test(host)) return 'loopback';
  return /^\[(fe[89ab][0-9a-f]:.*|::ffff:a9fe:.*)\]$/.test(host) ? 'link-local' : undefined;
}

/**
 * Whether what `from` answers may lead to `to`: a registry elsewhere has no business on this machine, and none at all at
 * what answers on its link, such as a cloud's metadata.
 */
export function mayLeadTo(from: string, to: string): boolean {
  const locality = localityOf(to);
  return locality === undefined || locality === localityOf(from);
}

/**
 * Where a redirect leads. Throws `registry-protocol-invalid` for what is never followed: from https to http, to another
 * scheme, to a URL with a password in it, or from elsewhere to an address of this machine or its link.
 */
export function redirectTarget(from: URL, location: string | undefined): URL {
  const refuse = (reason: string, cause?: unknown) =>
    new AgentError('registry-protocol-invalid', `cannot follow the redirect of ${describeUrl(from)}: ${reason}`, {
      details: { origin: from.origin },
      ...(cause === undefined ? {} : { cause }),
    });
  if (location === undefined) throw refuse('it names no location');
  if (location.length > 16_384) throw refuse('its location is longer than 16 KiB');
  const target = URL.parse(location, from.href);
  if (target === null) throw refuse('its location is no URL');
  if (target.protocol !== 'https:' && target.protocol !== 'http:') throw refuse(`it leads to ${target.protocol}`);
  if (from.protocol === 'https:' && target.protocol === 'http:') {
    throw refuse(`it leads from https to plain http at ${target.host}`);
  }
  if (target.username !== '' || target.password !== '') throw refuse('its location holds a user name or password');
  if (!mayLeadTo(from.hostname, target.hostname)) {
    throw refuse(`it leads to ${target.hostname}, an address of this node itself or of its link`);
  }
  return target;
}
