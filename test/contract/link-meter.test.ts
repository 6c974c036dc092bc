import { describe, expect, it } from 'vitest';
import type { LinkMeter } from '../../agent/core/metered.ts';
import { NetworkManagerLink, parseMetered, StatedLink } from '../../agent/host/link-meters.ts';
import { ManualLink } from '../fakes/manual-link.ts';

type Kind = ManualLink['kind'];

function manual(kind: Kind): LinkMeter {
  const link = new ManualLink();
  link.kind = kind;
  return link;
}

/** NetworkManager's link over `busctl` that answers as it does for each kind. */
function networkManager(kind: Kind): LinkMeter {
  const data = { metered: 3, unmetered: 2, unknown: 0 }[kind];
  return new NetworkManagerLink({ run: async () => ({ exitCode: 0, output: `{"type":"u","data":${data}}` }) });
}

describe.each([
  ['ManualLink', manual],
  ['NetworkManagerLink', networkManager],
])('a link meter, as %s', (_name, make) => {
  it.each([
    ['metered', true],
    ['unmetered', false],
    ['unknown', false],
  ] as const)('says of a link that is %s, in a sentence, whether it is metered', async (kind, isMetered) => {
    const link = await make(kind).read();
    expect(link.isMetered).toBe(isMetered);
    expect(link.text).toMatch(/link is .*metered/);
    expect(link.source === 'unknown').toBe(kind === 'unknown');
  });
});

describe('NetworkManager', () => {
  it.each([
    [1, true],
    [2, false],
    [3, true],
    [4, false],
  ])('saying %d says that the link is metered: %s', (data, isMetered) => {
    expect(parseMetered(`{"type":"u","data":${data}}\n`)).toMatchObject({ isMetered, source: 'network-manager' });
  });

  it.each(['', '{"type":"s","data":"1"}', '{"type":"u","data":9}', 'x'.repeat(10_000)])(
    'that answers %j leaves the link unknown',
    (output) => {
      const link = parseMetered(output);
      expect(link).toMatchObject({ isMetered: false, source: 'unknown' });
      expect(link.text.length).toBeLessThan(400);
    },
  );

  it('that is not there, or a busctl that is not, leaves the link unknown and says why', async () => {
    const asked: (readonly string[])[] = [];
    const link = new NetworkManagerLink({
      run: async (argv) => {
        asked.push(argv);
        return { exitCode: 1, output: 'The name org.freedesktop.NetworkManager was not provided' };
      },
    });
    expect(await link.read()).toMatchObject({
      isMetered: false,
      source: 'unknown',
      text: expect.stringContaining('was not provided') as string,
    });
    expect(asked[0]?.[0]).toBe('busctl');
  });
});

it('a link that the configuration states is what it says', async () => {
  expect(await new StatedLink(true).read()).toMatchObject({ isMetered: true, source: 'config' });
  expect(await new StatedLink(false).read()).toMatchObject({ isMetered: false, source: 'config' });
});
