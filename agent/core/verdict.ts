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
 * A trial passes when every required check passed. That the agent came up, could read its state and reached this line is
 * itself what a node without configured checks proves.
 */
export function verdictOf(results: readonly CheckResult[]): Verdict {
  const failed = results.filter(({ isRequired, status }) => isRequired && status === 'failed');
  const warned = results.filter(({ isRequired, status }) => !isRequired && status === 'failed');
  const evidence = [...failed, ...warned].map((result): EvidenceItem => ({
    kind: 'health-check',
    name: result.name,
    text: `${result.isRequired ? 'required' : 'advisory'}, failed after ${result.attempts} attempts in ${result.durationMs} ms: ${result.output.slice(0, maxOutputCharacters)}`,
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
  const passed = results.length - warned.length;
  return {
    isPassed: true,
    message: `${passed} of ${results.length} health checks passed, every required one among them`,
    evidence,
  };
}
