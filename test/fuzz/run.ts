import { parseArgs } from 'node:util';
import { fuzz, type FuzzResult } from './fuzz.ts';
import { fuzzTargets } from './targets.ts';

/**
 * `node test/fuzz/run.ts [--target NAME]… [--count N] [--seconds S] [--seed N]`: gives each parser changed inputs, at
 * most `count` and for at most `seconds`. An error without a code is printed with the seed that makes it again.
 */

function numberOf(text: string, name: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`cannot fuzz: --${name} is ${text}, want a whole number`);
  return Number(text);
}

function describe({ target, count, taken, findings }: FuzzResult, seconds: number): readonly string[] {
  const perSecond = Math.round(count / Math.max(seconds, 0.001));
  const line = `${target}: ${count} inputs in ${seconds.toFixed(1)} s (${perSecond}/s), ${taken} taken, ${findings.length} findings`;
  return [
    line,
    ...findings.map(({ seed, input, error }) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const again = `--target ${target} --seed ${seed} --count 1`;
      return `  ${again}\n  input, base64: ${Buffer.from(input).toString('base64')}\n  ${text.split('\n').slice(0, 4).join('\n  ')}`;
    }),
  ];
}

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true, default: [] },
    count: { type: 'string', default: '20000' },
    seconds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
});
const [count, limitSeconds, seed] = [
  numberOf(values.count, 'count'),
  numberOf(values.seconds, 'seconds'),
  numberOf(values.seed, 'seed'),
];
const unknown = values.target.filter((wanted) => !fuzzTargets.some(({ name }) => name === wanted));
const chosen = fuzzTargets.filter(({ name }) => values.target.length === 0 || values.target.includes(name));
if (unknown.length > 0) {
  console.error(`cannot fuzz ${unknown.join(', ')}: want some of ${fuzzTargets.map(({ name }) => name).join(', ')}`);
  process.exitCode = 64;
}
for (const target of unknown.length > 0 ? [] : chosen) {
  const startMs = performance.now();
  const result = await fuzz(target, seed, count, () => performance.now() - startMs > limitSeconds * 1000);
  for (const line of describe(result, (performance.now() - startMs) / 1000)) console.log(line);
  if (result.findings.length > 0) process.exitCode = 1;
}
