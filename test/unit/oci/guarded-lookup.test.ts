import type { LookupFunction } from 'node:net';
import { describe, expect, it } from 'vitest';
import { GuardedLookup } from '../../../agent/oci/guarded-lookup.ts';

/** Names that stand for these addresses. */
function namesOf(addresses: Readonly<Record<string, readonly string[]>>): LookupFunction {
  return (hostname, options, callback) => {
    const found = (addresses[hostname] ?? []).map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (options.all === true) callback(null, found);
    else callback(null, found[0]?.address ?? '', found[0]?.family ?? 4);
  };
}

function codeOf(lookup: LookupFunction, hostname: string, all: boolean): string {
  let code = 'none';
  lookup(hostname, { all }, (error) => {
    code = error?.code ?? 'none';
  });
  return code;
}

const system = namesOf({
  'registry.test': ['192.0.2.1', '2001:db8::1'],
  'local.test': ['127.0.0.1'],
  'cdn.test': ['198.51.100.7'],
  'loop.test': ['127.0.0.53'],
  'loop6.test': ['::1'],
  'mapped.test': ['::ffff:127.0.0.1'],
  'cloud.test': ['169.254.169.254'],
  'link.test': ['fe80::1%eth0'],
  'both.test': ['198.51.100.7', '127.0.0.1'],
});

describe('where a registry leads by a name', () => {
  it.each(['loop.test', 'loop6.test', 'mapped.test', 'cloud.test', 'link.test'])(
    'is not this node or its link: %s',
    (name) => {
      const names = new GuardedLookup('registry.test', system);
      expect(codeOf(names.own, 'registry.test', true)).toBe('none');
      for (const all of [true, false]) expect(codeOf(names.foreign, name, all)).toBe('FORBIDDEN_ADDRESS');
      expect(codeOf(names.foreign, 'cdn.test', true)).toBe('none');
    },
  );

  it('is refused by any one of its addresses', () => {
    expect(codeOf(new GuardedLookup('registry.test', system).foreign, 'both.test', true)).toBe('FORBIDDEN_ADDRESS');
  });

  it('may be loopback where the registry itself is, by its address or its name, and never what is on the link', () => {
    const byAddress = new GuardedLookup('127.0.0.1', system);
    const byName = new GuardedLookup('local.test', system);
    expect(codeOf(byName.foreign, 'loop.test', true)).toBe('FORBIDDEN_ADDRESS');
    expect(codeOf(byName.own, 'local.test', false)).toBe('none');
    for (const names of [byAddress, byName]) {
      expect(codeOf(names.foreign, 'loop.test', true)).toBe('none');
      expect(codeOf(names.foreign, 'cloud.test', true)).toBe('FORBIDDEN_ADDRESS');
    }
  });
});
