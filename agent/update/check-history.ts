import type { CheckProgress } from '../core/ports.ts';
import type { EvidenceItem } from '../core/update-state.ts';

const shownAttempts = 12;
const lineCharacters = 200;

/** What each attempt of the checks of one trial came to, bounded: the first one and the latest eleven of each check. */
export class CheckHistory {
  readonly #lines = new Map<string, string[]>();
  readonly #last = new Map<string, CheckProgress>();

  /** Hears of a check as it changes; what is no end of an attempt adds nothing. */
  add(progress: CheckProgress): void {
    const { name, attempts } = progress;
    const isNew = attempts > (this.#last.get(name)?.attempts ?? 0);
    this.#last.set(name, progress);
    if (!isNew) return;
    const lines = this.#lines.get(name) ?? [];
    this.#lines.set(name, lines);
    lines.push(lineOf(progress));
    // The first failure often tells more than the last ones, which only repeat it.
    if (lines.length > shownAttempts) lines.splice(1, 1);
  }

  /** An item for each check that failed more than once, in the order in which they began. */
  evidence(): readonly EvidenceItem[] {
    return [...this.#lines].flatMap(([name, lines]): readonly EvidenceItem[] => {
      const last = this.#last.get(name);
      if (last?.status !== 'failed' || lines.length < 2) return [];
      return [{ kind: 'health-check', name: `${name}, its attempts`, text: lines.join('\n') }];
    });
  }
}

function lineOf({ attempts, durationMs, status, output }: CheckProgress): string {
  const said = (output.split('\n')[0] ?? '').slice(0, lineCharacters);
  const result = status === 'passed' ? 'passed' : 'failed';
  return `attempt ${attempts} after ${durationMs} ms: ${result}${said === '' ? '' : `: ${said}`}`;
}
