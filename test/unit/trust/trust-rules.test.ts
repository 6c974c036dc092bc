import { describe, expect, it } from 'vitest';
import { resolveRules, ruleFor, type TrustRule } from '../../../agent/trust/trust-rules.ts';
import { makeSigner } from '../../fakes/signer.ts';
import { codeOf, trustKey } from './samples.ts';

const [one, two] = [makeSigner('ed25519'), makeSigner('ecdsa-p256')];
const keys = [trustKey('one', one), trustKey('two', two), trustKey('one-again', one)];
const rule = (prefix: string, names: readonly string[] = ['one'], atLeast = 1): TrustRule => ({
  prefix,
  require: { keys: names, atLeast },
  isDowngradeAllowed: false,
});
const prefixFor = (prefixes: readonly string[], repository: string) =>
  ruleFor(
    resolveRules(
      { keys },
      prefixes.map((prefix) => rule(prefix)),
    ),
    repository,
  )?.prefix;

describe('the rule for a repository', () => {
  it('is that of the longest prefix, in whatever order the rules stand', () => {
    const prefixes = ['r.test', 'r.test/os/edge', 'r.test/os'];
    for (const order of [prefixes, [...prefixes].reverse()]) {
      expect(prefixFor(order, 'r.test/os/edge')).toBe('r.test/os/edge');
      expect(prefixFor(order, 'r.test/os/edge/debug')).toBe('r.test/os/edge');
      expect(prefixFor(order, 'r.test/os/other')).toBe('r.test/os');
      expect(prefixFor(order, 'r.test/apps')).toBe('r.test');
    }
  });

  it('is matched by whole path components only', () => {
    for (const repository of ['r.test/os-evil', 'r.test/osx/edge', 'r.test/o', 'r.test', 'evil/r.test/os']) {
      expect(prefixFor(['r.test/os'], repository)).toBeUndefined();
    }
    for (const repository of ['r.test.evil/os', 'r.test:5000/os', 'r.tes/os', 'xr.test/os']) {
      expect(prefixFor(['r.test'], repository)).toBeUndefined();
    }
  });

  it('may be written with a slash at its end', () => {
    for (const repository of ['r.test/os', 'r.test/os/edge']) {
      expect(prefixFor(['r.test/os/'], repository)).toBe('r.test/os/');
    }
    expect(prefixFor(['r.test/os/'], 'r.test/osx')).toBeUndefined();
  });

  it('is none when no prefix fits; an empty prefix fits nothing', () => {
    expect(prefixFor([], 'r.test/os')).toBeUndefined();
    expect(prefixFor(['', '/'], 'r.test/os')).toBeUndefined();
    for (const repository of ['constructor', '__proto__/os']) expect(prefixFor(['r.test'], repository)).toBeUndefined();
  });
});

describe('a rule', () => {
  it('has each key once, however many names it has', () => {
    const [resolved] = resolveRules({ keys }, [rule('r.test', ['one', 'two', 'one-again', 'one'], 2)]);
    expect(resolved?.keys.map(({ fingerprint }) => fingerprint)).toEqual([one.fingerprint, two.fingerprint]);
  });

  it.each<[string, TrustRule]>([
    ['names a key that is not there', rule('r.test', ['one', 'three'])],
    ['names a key like a property that every object has', rule('r.test', ['constructor'])],
    ['names __proto__', rule('r.test', ['__proto__'])],
    ['names no key', rule('r.test', [])],
    ['wants no signature', rule('r.test', ['one'], 0)],
    ['wants fewer than no signatures', rule('r.test', ['one'], -1)],
    ['wants half a signature', rule('r.test', ['one'], 0.5)],
    ['wants a number that is none', rule('r.test', ['one'], Number.NaN)],
    ['wants more keys than it names', rule('r.test', ['one', 'two'], 3)],
    ['wants two, and names one key twice', rule('r.test', ['one', 'one'], 2)],
    ['wants two, and names one key by two names', rule('r.test', ['one', 'one-again'], 2)],
  ])('is refused when it %s', (_what, wrong) => {
    const resolving = () => resolveRules({ keys }, [rule('other.test'), wrong]);
    expect(codeOf(resolving)).toBe('config-invalid');
    expect(resolving).toThrow(/trust\.rules\.1 \(r\.test\)/);
  });
});
