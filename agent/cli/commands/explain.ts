import type { Command } from 'commander';
import { type ErrorCode, errorTable, isErrorCode } from '../../core/errors.ts';
import { CliError } from '../exit-codes.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';
import { explanationOf, renderExplanation, renderExplanations } from '../render-explain.ts';

/** `explain`. */
export function addExplainCommand(program: Command, context: CliContext): void {
  const explain = addCommand(program, {
    usage: 'explain [code]',
    isOffline: true,
    description: 'Say what an error code means and what to do; without a code, list all of them and the exit codes.',
    examples: ['explain known-bad', 'explain'],
  });
  perform(explain, context, async (invocation) => {
    const [code] = invocation.args;
    const codes = Object.keys(errorTable).filter((one): one is ErrorCode => isErrorCode(one));
    if (code === undefined) {
      const all = codes.map(explanationOf);
      invocation.print(all, renderExplanations(all));
      return 0;
    }
    if (!isErrorCode(code)) throw unknownCode(code, codes);
    const explanation = explanationOf(code);
    invocation.print(explanation, renderExplanation(explanation));
    return 0;
  });
}

function unknownCode(code: string, codes: readonly ErrorCode[]): CliError {
  const words = code
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word.length > 2);
  const near = codes.filter((one) => words.some((word) => one.includes(word))).slice(0, 5);
  return new CliError('usage-invalid', `cannot explain ${JSON.stringify(code.slice(0, 64))}: there is no such code`, {
    fix: near.length === 0 ? 'See kaonctl explain for all of them.' : `Did you mean ${near.join(', ')}?`,
  });
}
