import { Argument, type Command } from 'commander';
import type { HoldAnswer } from '../answers.ts';
import { formatTime, printable } from '../format-values.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';
import { type EndTime, endTime } from '../option-values.ts';

/** `hold`, `hold set`, `hold clear`. */
export function addHoldCommands(program: Command, context: CliContext): void {
  const hold = addCommand(program, {
    usage: 'hold',
    description: 'Show whether updates are on hold.',
    examples: ['hold', 'hold set "shop is open" --until 10h', 'hold clear'],
  });
  perform(hold, context, async (invocation) => {
    const { value, raw } = await invocation.api().hold();
    invocation.print(raw, holdText(value.hold));
    return 0;
  });

  const set = addCommand(hold, {
    usage: 'set <reason>',
    description: 'Hold updates: none starts until the hold is lifted or over.',
    examples: [
      'hold set "shop is open"',
      'hold set "inventory" --until 2026-01-31T06:00:00Z',
      'hold set "rush" --until 2h',
    ],
  }).option('--until <end>', 'a time with its zone, or a duration from now', endTime);
  perform<{ until?: EndTime }>(set, context, async (invocation) => {
    const reason = invocation.argument(0);
    const until = isoEnd(invocation.options.until, invocation.io.clock.nowMs());
    await invocation.api().setHold(reason, until);
    const answer = { reason, ...(until === undefined ? {} : { until }) };
    invocation.print({ hold: answer }, holdText(answer));
    return 0;
  });

  const clear = addCommand(hold, {
    usage: 'clear',
    description: 'Lift the hold; with facts-lost, confirm that the loss of the security facts was looked at.',
    examples: ['hold clear', 'hold clear facts-lost'],
  }).addArgument(new Argument('[what]', 'what is lifted').choices(['facts-lost']));
  perform(clear, context, async (invocation) => {
    if (invocation.args[0] === 'facts-lost') {
      await invocation.api().confirmFacts();
      invocation.print({ areFactsConfirmed: true }, 'the loss of the security facts is confirmed; updates may start\n');
      return 0;
    }
    await invocation.api().clearHold();
    invocation.print({ hold: null }, 'updates are not on hold\n');
    return 0;
  });
}

function isoEnd(end: EndTime | undefined, nowMs: number): string | undefined {
  if (end === undefined) return undefined;
  return new Date('atMs' in end ? end.atMs : nowMs + end.inMs).toISOString();
}

function holdText(hold: HoldAnswer | null): string {
  if (hold === null) return 'updates are not on hold\n';
  const until = hold.until === undefined ? 'until the hold is lifted' : `until ${formatTime(hold.until)}`;
  return `updates are on hold ${until}: ${printable(hold.reason)}\n`;
}
