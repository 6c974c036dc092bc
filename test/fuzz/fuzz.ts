import { inputOf } from './mutate.ts';
import { type FuzzTarget, isCoded } from './target.ts';

/** An input that a parser did not take well. */
export interface Finding {
  readonly seed: number;
  readonly input: Uint8Array;
  readonly error: unknown;
}

/** What came of a run over one parser. */
export interface FuzzResult {
  readonly target: string;
  readonly count: number;
  /** Inputs that it took. */
  readonly taken: number;
  readonly findings: readonly Finding[];
}

/** So many findings end a run over a parser. */
const mostFindings = 5;

/** Gives `target` the inputs of `count` seeds from `firstSeed` on, until `isOver`. */
export async function fuzz(
  target: FuzzTarget,
  firstSeed: number,
  count: number,
  isOver: () => boolean = () => false,
): Promise<FuzzResult> {
  const findings: Finding[] = [];
  let done = 0;
  let taken = 0;
  for (; done < count && findings.length < mostFindings; done += 1) {
    if (done % 256 === 0 && isOver()) break;
    const seed = firstSeed + done;
    const input = inputOf(target, seed);
    try {
      const result = target.parse(input);
      if (result instanceof Promise) await result;
      taken += 1;
    } catch (error) {
      if (!isCoded(error) && target.isExpected?.(error) !== true) findings.push({ seed, input, error });
    }
  }
  return { target: target.name, count: done, taken, findings };
}
