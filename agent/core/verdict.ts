import type { CheckResult } from './ports.ts';
import type { EvidenceItem } from './update-state.ts';

/** The judgement over a trial. */
export interface Verdict {
  readonly isPassed: boolean;
  /** One sentence that names what failed. */
  readonly message: string;
  readonly evidence: readonly EvidenceItem[];
}

const maxOutputCharacters = 2048;

/**
 * A trial passes when every required check passed whose failure nothing excuses. That the agent came up, could read its state and reached this line is
 * itself what a node without configured checks proves.
 */
export function verdictOf(results: readonly CheckResult[]): Verdict {
  const lost = results.filter(({ status }) => status === 'failed');
  const failed = lost.filter(({ isRequired, excuse }) => isRequired && excuse === undefined);
  const warned = lost.filter((result) => !failed.includes(result));
  const evidence = [...failed, ...warned].map((result): EvidenceItem => ({
    kind: 'health-check',
    name: result.name,
    text: `${kindOf(result)}, failed after ${result.attempts} attempts in ${result.durationMs} ms: ${result.output.slice(0, maxOutputCharacters)}`,
  }));
  if (failed.length > 0) {
    const names = failed.map(({ name }) => name).join(', ');
    const first = failed[0]?.output.split('\n')[0] ?? '';
    return {
      isPassed: false,
      message: `required health ${failed.length === 1 ? 'check' : 'checks'} failed: ${names}${first === '' ? '' : ` (${first.slice(0, 200)})`}`,
      evidence,
    };
  }
  const passed = results.filter(({ status }) => status === 'passed').length;
  const excused = warned.filter(({ isRequired }) => isRequired);
  return {
    isPassed: true,
    message: `${passed} of ${results.length} health checks passed, ${excused.length === 0 ? 'every required one among them' : `every one that counts among them; not counted: ${excused.map(excuseText).join(', ')}`}`,
    evidence,
  };
}

function kindOf({ isRequired, excuse }: CheckResult): string {
  if (!isRequired) return 'advisory';
  return excuse === undefined ? 'required' : `required and not counted, as ${excuse}`;
}

function excuseText({ name, excuse }: CheckResult): string {
  return `${name} (${excuse ?? ''})`;
}
