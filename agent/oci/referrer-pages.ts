import { AgentError } from '../core/errors.ts';
import { manifestLimits } from '../core/image-format/manifest.ts';
import { describeUrl } from './redirect.ts';
import { parseReferrers, type Referrer } from './referrers.ts';

/** What is read of a list in pages. Of each page as many entries are looked at as of a whole list. */
export const pageLimits = { pages: 16, totalBytes: manifestLimits.manifestBytes } as const;

/** One page of a list of referrers, as a registry answers it. */
export interface ReferrerPage {
  readonly bytes: Uint8Array;
  /** Its `Link` headers, in one text. */
  readonly links: string | undefined;
}

/** What a registry lists as referring to a manifest. */
export interface ListedReferrers {
  readonly referrers: readonly Referrer[];
  /** Why the list was not read to its end; absent where it was. */
  readonly problem?: AgentError;
}

/** What is wrong with a page, and not with reaching it. */
const pageProblems: readonly string[] = [
  'image-not-found',
  'manifest-invalid',
  'registry-protocol-invalid',
  'registry-unauthorized',
  'response-too-large',
];

/** The target of the link to the next page (RFC 8288, `rel="next"`); `undefined` where there is none. */
export function nextLink(links: string | undefined): string | undefined {
  for (const [, target = '', parameters = ''] of (links ?? '').matchAll(/<([^<>]*)>([^<>]*)/g)) {
    const relations = /;\s*rel\s*=\s*"?([^";,]*)/i.exec(parameters)?.[1] ?? '';
    if (relations.toLowerCase().split(/\s+/).includes('next')) return target;
  }
  return undefined;
}

/**
 * Where the page at `url` says that the list goes on; `undefined` at its end. Throws `registry-protocol-invalid` for a
 * link that leads away from the page's own origin.
 */
export function nextPage(url: URL, links: string | undefined): URL | undefined {
  const target = nextLink(links);
  if (target === undefined) return undefined;
  const next = URL.parse(target, url.href);
  const isOwn = next !== null && next.origin === url.origin && next.username === '' && next.password === '';
  if (isOwn) return next;
  throw new AgentError(
    'registry-protocol-invalid',
    `cannot follow the list of referrers at ${describeUrl(url)}: its next page is not at ${url.origin}`,
    { details: { origin: url.origin } },
  );
}

/**
 * Reads the list that begins at `first` page by page, at most sixteen pages and 4 MiB in all. Whoever may push to a
 * repository can make its list long, and what was read of it may be enough: a later page that is malformed, leads
 * elsewhere or back, or is beyond a limit ends the list with a `problem`. `read` gets the bytes that are left; it resolves
 * to `undefined` where there is no list. Rejects with what is wrong with the first page, and with what keeps the registry
 * from answering.
 */
export async function readReferrerPages(
  first: URL,
  read: (url: URL, limitBytes: number) => Promise<ReferrerPage | undefined>,
): Promise<ListedReferrers | undefined> {
  const page = await read(first, pageLimits.totalBytes);
  if (page === undefined) return undefined;
  const referrers = [...parseReferrers(page.bytes)];
  try {
    await readOn({ url: first, page, referrers }, read);
  } catch (error) {
    if (!(error instanceof AgentError) || !pageProblems.includes(error.code)) throw error;
    return { referrers, problem: error };
  }
  return { referrers };
}

async function readOn(
  from: { url: URL; page: ReferrerPage; readonly referrers: Referrer[] },
  read: (url: URL, limitBytes: number) => Promise<ReferrerPage | undefined>,
): Promise<void> {
  let { url, page } = from;
  let leftBytes = pageLimits.totalBytes - page.bytes.byteLength;
  const seen = new Set([url.href]);
  for (;;) {
    const next = nextPage(url, page.links);
    if (next === undefined) return;
    const what = `cannot follow the list of referrers at ${describeUrl(url)}`;
    if (seen.has(next.href)) {
      throw new AgentError('registry-protocol-invalid', `${what}: it leads to a page that was read already`);
    }
    if (seen.size >= pageLimits.pages) {
      throw new AgentError('response-too-large', `${what}: it has more than ${pageLimits.pages} pages`, {
        details: { limitPages: pageLimits.pages },
      });
    }
    seen.add(next.href);
    const found = await read(next, leftBytes);
    if (found === undefined) {
      throw new AgentError('registry-protocol-invalid', `${what}: the registry does not have its next page`);
    }
    leftBytes -= found.bytes.byteLength;
    from.referrers.push(...parseReferrers(found.bytes));
    url = next;
    page = found;
  }
}
