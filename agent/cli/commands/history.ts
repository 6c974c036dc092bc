import type { Command } from 'commander';
import { printable } from '../format-values.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';
import { wholeNumber } from '../option-values.ts';
import { renderHistory, renderKnownBad, renderRollback, renderRollbacks } from '../render-history.ts';

const limitText = 'how many, newest first';

/** `history`, `rollbacks`, `known-bad`. */
export function addHistoryCommands(program: Command, context: CliContext): void {
  const history = addCommand(program, {
    usage: 'history',
    description: 'Show the updates of this node and how they ended.',
    examples: ['history', 'history --limit 5'],
  }).option('--limit <n>', limitText, wholeNumber(1, 200), 20);
  perform<{ limit: number }>(history, context, async (invocation) => {
    const { value, raw } = await invocation.api().updates(invocation.options.limit);
    invocation.print(raw, renderHistory(value));
    return 0;
  });

  const rollbacks = addCommand(program, {
    usage: 'rollbacks',
    description: 'Show the rollbacks of this node with their evidence.',
    examples: ['rollbacks', 'rollbacks --limit 1', 'rollbacks show 0192f0c1-rollback'],
  }).option('--limit <n>', limitText, wholeNumber(1, 200), 5);
  perform<{ limit: number }>(rollbacks, context, async (invocation) => {
    const { value, raw } = await invocation.api().rollbacks(invocation.options.limit);
    invocation.print(raw, renderRollbacks(value));
    return 0;
  });
  const show = addCommand(rollbacks, {
    usage: 'show <id>',
    description: 'Show one rollback with its evidence; its id is that of its update.',
    examples: ['rollbacks show 0192f0c1-rollback'],
  });
  perform(show, context, async (invocation) => {
    const { value, raw } = await invocation.api().rollback(invocation.argument(0));
    invocation.print(raw, renderRollback(value));
    return 0;
  });

  addKnownBad(program, context);
}

function addKnownBad(program: Command, context: CliContext): void {
  const knownBad = addCommand(program, {
    usage: 'known-bad',
    description: 'Show the images that rolled back on this node and are not tried again.',
    examples: ['known-bad', 'known-bad clear sha256:…'],
  });
  perform(knownBad, context, async (invocation) => {
    const { value, raw } = await invocation.api().knownBad();
    invocation.print(raw, renderKnownBad(value));
    return 0;
  });

  const clear = addCommand(knownBad, {
    usage: 'clear <digest>',
    description: 'Allow an image again that rolled back here.',
    examples: ['known-bad clear sha256:…'],
  });
  perform(clear, context, async (invocation) => {
    const digest = invocation.argument(0);
    await invocation.api().clearKnownBad(digest);
    invocation.print({ digest, isCleared: true }, `${printable(digest)} may be installed again\n`);
    return 0;
  });
}
