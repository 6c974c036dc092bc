import { parseChallenges } from '../../agent/oci/challenge.ts';
import { findCredentials, parseCredentialFile } from '../../agent/oci/credentials.ts';
import { parseOfflineLocation } from '../../agent/oci/offline-location.ts';
import { nextPage } from '../../agent/oci/referrer-pages.ts';
import { skipOf } from '../../agent/oci/range.ts';
import { parseRegistriesConf, placesByConf } from '../../agent/oci/registries-conf.ts';
import { localityOf, redirectTarget } from '../../agent/oci/redirect.ts';
import { parseRetryAfter } from '../../agent/oci/retry.ts';
import { registryErrorCode } from '../../agent/oci/status-error.ts';
import { normaliseMemberPath, parsePaxRecords, parseTarHeader, TarError } from '../../agent/oci/tar-header.ts';
import { parseTokenAnswer, realmOf } from '../../agent/oci/token-request.ts';
import { bytesOf, type FuzzTarget, promise, textOf } from './target.ts';

const endpoint = new URL('https://registry.test');
const auth = Buffer.from('user:pass:word').toString('base64');

/** A ustar header of a file with a checksum that fits. */
function tarHeader(path: string, letter: string, sizeBytes: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(path, 0);
  block.write('0000644\0', 100);
  block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124);
  block.write(letter, 156);
  block.write('ustar\x0000', 257);
  return Buffer.from(mendTar(block));
}

function mendTar(bytes: Uint8Array): Uint8Array {
  const block = Buffer.alloc(512);
  block.set(bytes.subarray(0, 512));
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

const isTarError = (error: unknown) => error instanceof TarError;

/** What registries say in headers, and what lies beside images. */
export const httpTargets: readonly FuzzTarget[] = [
  {
    name: 'challenge',
    seeds: [
      'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:os/edge:pull,push"',
      'Basic realm="a \\"quoted\\" one", Negotiate YWJj==, Digest a=b',
    ].map(bytesOf),
    parse: (bytes) => {
      for (const challenge of parseChallenges(textOf(bytes))) {
        if (challenge.scheme === 'bearer') realmOf(challenge, { endpoint, isInsecure: false, authHosts: [] });
      }
    },
  },
  {
    name: 'redirect',
    seeds: ['https://cdn.test/b?sig=1', '/v2/elsewhere', '//[::1]:80/x', 'https://user:pw@127.0.0.1/'].map(bytesOf),
    parse: (bytes) => {
      const { protocol, hostname, username } = redirectTarget(endpoint, textOf(bytes));
      const isFine = protocol === 'https:' && username === '' && localityOf(hostname) === undefined;
      promise(isFine, 'a redirect leads to https elsewhere');
    },
  },
  {
    name: 'page-link',
    seeds: [
      '</v2/os/edge/referrers/sha256:ab?n=2&last=x>; rel="next"',
      '<https://registry.test/v2/a>;rel=prev, <?last=b>; title="a, b"; rel="first next"',
    ].map(bytesOf),
    parse: (bytes) => {
      const next = nextPage(new URL('/v2/os/edge/referrers/sha256:ab', endpoint), textOf(bytes));
      promise(next === undefined || next.origin === endpoint.origin, 'a page is of the same origin');
    },
  },
  {
    name: 'token-answer',
    seeds: [bytesOf('{"token":"abc","access_token":"def","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}')],
    parse: (bytes) => {
      const { token, lifeMs } = parseTokenAnswer(bytes);
      promise(/^[\x21-\x7e]+$/.test(token) && lifeMs >= 60_000, 'a token fits into a header, and lives a minute');
    },
  },
  {
    name: 'retry-after',
    seeds: ['120', 'Wed, 25 Nov 2026 02:00:00 GMT'].map(bytesOf),
    parse: (bytes) => {
      const waitMs = parseRetryAfter(textOf(bytes), 1_750_000_000_000) ?? 0;
      promise(Number.isFinite(waitMs) && waitMs >= 0, 'a wait is a time');
    },
  },
  {
    name: 'content-range',
    seeds: ['bytes 10-99/1000', 'bytes 10-99/*'].map(bytesOf),
    parse: (bytes) => {
      const head = { status: 206, contentRange: textOf(bytes), contentLength: 90 };
      promise(skipOf(head, { start: 10, end: 99 }, 1000, 'it') === 0, 'a part begins where it was asked to');
    },
  },
  {
    name: 'registry-error',
    seeds: [bytesOf('{"errors":[{"code":"DENIED","message":"no","detail":{}}]}')],
    parse: (bytes) => promise(/^[A-Z_]{1,64}$/.test(registryErrorCode(bytes) ?? 'NONE'), 'a code is a word'),
  },
  {
    name: 'credentials',
    seeds: [
      bytesOf(JSON.stringify({ auths: { 'registry.test/os': { auth }, 'https://index.docker.io/v1/': { auth } } })),
      bytesOf(
        JSON.stringify({
          auths: { 'a.test': { identitytoken: 'x' } },
          credHelpers: { 'b.test': 'h' },
          credsStore: 's',
        }),
      ),
    ],
    parse: (bytes) => findCredentials(parseCredentialFile(textOf(bytes), 'auth.json'), 'registry.test', 'os/edge'),
  },
  {
    name: 'registries-conf',
    seeds: [
      bytesOf(
        '[[registry]]\nprefix = "a.test/os"\nlocation = "b.test:5000/x"\n[[registry.mirror]]\nlocation = "c.test"\npull-from-mirror = "digest-only"\n',
      ),
    ],
    parse: (bytes) => {
      const rules = parseRegistriesConf([{ path: 'registries.conf', text: textOf(bytes) }]);
      const places = placesByConf({ registry: 'a.test', name: 'os/edge', repository: 'a.test/os/edge' }, rules) ?? [];
      promise(
        places.every(({ name }) => name !== ''),
        'a place has a name',
      );
    },
  },
  {
    name: 'offline-location',
    seeds: ['oci:/srv/layout:v1', 'oci-archive:/media/stick/edge.tar:os/edge:v2'].map(bytesOf),
    parse: (bytes) => parseOfflineLocation(textOf(bytes)),
  },
  {
    name: 'tar-header',
    seeds: [tarHeader('blobs/sha256/0a', '0', 1234), tarHeader('oci-layout', '0', 0), tarHeader('x', 'x', 99)],
    mend: mendTar,
    isExpected: isTarError,
    parse: (bytes) => {
      const { path, sizeBytes } = parseTarHeader(bytes);
      promise(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, 'a member has a size');
      const name = normaliseMemberPath(path);
      promise(!name.startsWith('/') && !name.split('/').includes('..'), 'a member stays inside');
    },
  },
  {
    name: 'pax-records',
    seeds: [bytesOf('30 path=blobs/sha256/00112233\n20 size=12345678901\n'), bytesOf('6 a=b\n')],
    isExpected: isTarError,
    parse: parsePaxRecords,
  },
];
