import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { digestOf } from '../../../agent/core/image-format/digest.ts';
import { nextLink, pageLimits, readReferrerPages, type ReferrerPage } from '../../../agent/oci/referrer-pages.ts';

const first = new URL('https://r.test/v2/os/edge/referrers/sha256:ab?artifactType=x');
const bytesOf = (text: string) => new TextEncoder().encode(text);
const mediaType = 'application/vnd.oci.image.manifest.v1+json';

/** A page that names `names`, and where the list goes on. */
function page(names: readonly string[], next?: string): ReferrerPage {
  const manifests = names.map((name) => ({ mediaType, digest: digestOf(bytesOf(name)), size: 7 }));
  const links = next === undefined ? undefined : `<${next}>; rel="next"`;
  return { bytes: bytesOf(JSON.stringify({ manifests })), links };
}

/** Reads the list of `pages`, by their paths and queries; what was read, and of what. */
async function readAll(pages: (path: string) => ReferrerPage | undefined) {
  const asked: string[] = [];
  const limits: number[] = [];
  const listed = await readReferrerPages(first, async (url, limitBytes) => {
    asked.push(url.pathname.split('/').slice(5).join('/') + url.search);
    limits.push(limitBytes);
    return pages(asked.at(-1) ?? '');
  });
  return { listed, asked, limits };
}

const namesIn = (listed: Awaited<ReturnType<typeof readReferrerPages>>) =>
  listed?.referrers.map(({ digest }) => digest);
const digests = (...names: readonly string[]) => names.map((name) => digestOf(bytesOf(name)));

describe('the link to the next page', () => {
  it.each([
    ['</v2/x?n=1>; rel="next"', '/v2/x?n=1'],
    ['<a>;rel=next', 'a'],
    ['<a>; rel="prev", <b,c;d>; title="x"; REL="first NEXT"', 'b,c;d'],
    ['<a>; rel="prev"', undefined],
    ['<a>; rel="nextish"', undefined],
    ['a; rel="next"', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('in %s is %s', (links, target) => {
    expect(nextLink(links)).toBe(target);
  });
});

describe('a list of referrers in pages', () => {
  it('is read to its end, each page by the link of the one before, and within the bytes that are left', async () => {
    const last = page(['c']);
    const middle = page(['b'], `${first.pathname}?at=2`);
    const { listed, asked, limits } = await readAll((path) =>
      path.endsWith('=2') ? last : path.endsWith('=1') ? middle : page(['a'], '?at=1'),
    );
    expect(namesIn(listed)).toEqual(digests('a', 'b', 'c'));
    expect(listed?.problem).toBeUndefined();
    expect(asked).toEqual(['sha256:ab?artifactType=x', 'sha256:ab?at=1', 'sha256:ab?at=2']);
    const firstBytes = page(['a'], '?at=1').bytes.byteLength;
    expect(limits).toEqual([
      pageLimits.totalBytes,
      pageLimits.totalBytes - firstBytes,
      pageLimits.totalBytes - firstBytes - middle.bytes.byteLength,
    ]);
  });

  it('is none where the first page is missing, and refused where it is malformed', async () => {
    expect((await readAll(() => undefined)).listed).toBeUndefined();
    const reading = readAll(() => ({ bytes: bytesOf('[]'), links: undefined }));
    await expect(reading).rejects.toMatchObject({ code: 'manifest-invalid' });
  });

  it('without an end is read for sixteen pages', async () => {
    const { listed, asked } = await readAll(() => page(['a'], 'a/'));
    expect(asked).toHaveLength(16);
    expect(listed).toMatchObject({ problem: { code: 'response-too-large' } });
  });

  it.each([
    ['https://other.test/v2/os/edge/referrers/sha256:ab?at=1'],
    ['//127.0.0.1/?at=1'],
    ['http://r.test/v2/?at=1'],
    ['https://r.test:444/v2/?at=1'],
    ['https://me:secret@r.test/v2/?at=1'],
    ['file:///etc/passwd'],
    ['https://'],
  ])('that leads to %s is not followed, and keeps what was read', async (link) => {
    const { listed, asked } = await readAll(() => page(['a'], link));
    expect(asked).toHaveLength(1);
    expect(namesIn(listed)).toEqual(digests('a'));
    expect(listed?.problem).toMatchObject({ code: 'registry-protocol-invalid' });
    expect(listed?.problem?.message).not.toContain('secret');
  });

  it.each([
    ['to itself', () => page(['a'], first.href), 1],
    ['in a circle', (path: string) => (path.endsWith('=1') ? page(['b'], first.href) : page(['a'], '?at=1')), 2],
  ])('that leads %s ends there', async (_how, pages, count) => {
    const { listed, asked } = await readAll(pages);
    expect(asked).toHaveLength(count);
    expect(listed?.problem).toMatchObject({ code: 'registry-protocol-invalid' });
  });

  it.each([
    ['missing', 'registry-protocol-invalid', () => undefined],
    ['malformed', 'manifest-invalid', () => ({ bytes: bytesOf('{'), links: undefined })],
    [
      'too large',
      'response-too-large',
      () => {
        throw new AgentError('response-too-large', 'cannot read it');
      },
    ],
  ])('keeps what was read where a later page is %s', async (_what, code, later) => {
    const { listed } = await readAll((path) => (path.endsWith('=1') ? later() : page(['a'], '?at=1')));
    expect(namesIn(listed)).toEqual(digests('a'));
    expect(listed?.problem).toMatchObject({ code });
  });

  it('is waited for where the registry fails in the middle', async () => {
    const reading = readAll((path) => {
      if (path.endsWith('=1')) throw new AgentError('registry-unreachable', 'cannot reach it');
      return page(['a'], '?at=1');
    });
    await expect(reading).rejects.toMatchObject({ code: 'registry-unreachable' });
  });
});
