import type { Command } from 'commander';
import { followEvents } from '../follow-events.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { wholeNumber } from '../option-values.ts';
import { renderEvent } from '../render-history.ts';

interface EventsOptions {
  readonly follow?: boolean;
  readonly after: number;
  readonly limit: number;
}

/** `events`. */
export function addEventsCommand(program: Command, context: CliContext): void {
  const events = addCommand(program, {
    usage: 'events',
    description: 'Show what happened on this node, oldest first.',
    examples: ['events', 'events --follow', 'events --after 1200 --follow --json'],
  })
    .option('--follow', 'go on with what comes, until Ctrl-C; with --json one line each')
    .option('--after <sequence>', 'only events after this one', wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--limit <n>', 'how many at most, without --follow', wholeNumber(1, 1000), 200);
  perform<EventsOptions>(events, context, (invocation) =>
    invocation.options.follow === true ? follow(invocation) : showPage(invocation),
  );
}

async function follow(invocation: Invocation<EventsOptions>): Promise<never> {
  const { io, options } = invocation;
  return followEvents(io, invocation.api(), options.after, (event, raw) => {
    invocation.print(raw, renderEvent(event));
  });
}

async function showPage(invocation: Invocation<EventsOptions>): Promise<number> {
  const { after, limit } = invocation.options;
  const { value, raw } = await invocation.api().events(after, limit);
  invocation.print(raw, value.map(renderEvent).join(''));
  const last = value.at(-1);
  if (last !== undefined && value.length === limit) {
    invocation.io.err(`there may be more: kaonctl events --after ${last.sequence}\n`);
  }
  return 0;
}
