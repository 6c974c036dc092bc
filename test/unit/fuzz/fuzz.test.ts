import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { fuzz } from '../../fuzz/fuzz.ts';
import { inputOf } from '../../fuzz/mutate.ts';
import { bytesOf, type FuzzTarget, isCoded, textOf } from '../../fuzz/target.ts';
import { fuzzTargets } from '../../fuzz/targets.ts';

const coded = new AgentError('manifest-invalid', 'cannot read it: it is no good');

/** Breaks for one letter alone, in a place that a change has to hit. */
const buggy: FuzzTarget = {
  name: 'buggy',
  seeds: [bytesOf('abcdefgh')],
  parse: (bytes) => {
    if (textOf(bytes).includes('"')) throw new TypeError('not a thing');
    throw coded;
  },
};

describe('the fuzzer', () => {
  it('finds an error without a code, and says the seed that makes it again', async () => {
    const { findings } = await fuzz(buggy, 1, 5000);
    expect(findings.length).toBeGreaterThan(0);
    const [{ seed, input, error } = { seed: 0, input: bytesOf(''), error: undefined }] = findings;
    expect(error).toBeInstanceOf(TypeError);
    expect(inputOf(buggy, seed)).toEqual(input);
    expect((await fuzz(buggy, seed, 1)).findings).toHaveLength(1);
  });

  it('gives other inputs for other seeds, and ends when its time is over', async () => {
    const texts = Array.from({ length: 200 }, (_, seed) => textOf(inputOf(buggy, seed)));
    expect(new Set(texts).size).toBeGreaterThan(150);
    expect((await fuzz(buggy, 1, 5000, () => true)).count).toBe(0);
  });

  it('takes no code for a code that is none', () => {
    expect(isCoded(coded)).toBe(true);
    expect(isCoded(new AgentError('internal', 'cannot go on: a bug'))).toBe(false);
    expect(isCoded(Object.assign(new Error('x'), { code: 'ERR_OUT_OF_RANGE' }))).toBe(false);
  });
});

describe('a parser of bytes from outside refuses what it does not take, with a code:', () => {
  it.each(fuzzTargets)('$name', async (target) => {
    // The first seed is sound, or each change of it would be refused for what it lacks.
    const result = target.parse(Uint8Array.from(target.seeds[0] ?? []));
    if (result instanceof Promise) await result;
    const { findings } = await fuzz(target, 1, 300);
    expect(findings.map(({ seed, error }) => `seed ${seed}: ${String(error)}`)).toEqual([]);
  });
});
