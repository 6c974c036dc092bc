import type { Command } from 'commander';
import type { RateLimitAnswer } from '../answers.ts';
import { formatRate } from '../format-values.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';
import { rate } from '../option-values.ts';

/** `rate-limit`, `rate-limit set`, `rate-limit off`, `rate-limit clear`. */
export function addRateLimitCommands(program: Command, context: CliContext): void {
  const limit = addCommand(program, {
    usage: 'rate-limit',
    description: 'Show how fast layers may be fetched, and whose word that is.',
    examples: ['rate-limit', 'rate-limit set 512KiB/s', 'rate-limit clear'],
  });
  perform(limit, context, async (invocation) => {
    const { value, raw } = await invocation.api().rateLimit();
    invocation.print(raw, limitText(value));
    return 0;
  });

  const set = addCommand(limit, {
    usage: 'set <rate>',
    description: 'Fetch no faster, at once and over restarts, whatever the configuration says.',
    examples: ['rate-limit set 512KiB/s', 'rate-limit set 4MiB/s'],
  });
  perform(set, context, async (invocation) => {
    await invocation.api().setRateLimit(rate(invocation.argument(0)));
    return showLimit(invocation);
  });

  const off = addCommand(limit, {
    usage: 'off',
    description: 'Fetch as fast as it comes, at once and over restarts, whatever the configuration says.',
    examples: ['rate-limit off'],
  });
  perform(off, context, async (invocation) => {
    await invocation.api().setRateLimit(null);
    return showLimit(invocation);
  });

  const clear = addCommand(limit, {
    usage: 'clear',
    description: 'Let the limit of the configuration hold again.',
    examples: ['rate-limit clear'],
  });
  perform(clear, context, async (invocation) => {
    await invocation.api().clearRateLimit();
    return showLimit(invocation);
  });
}

/** What holds now is kaond's to say. */
async function showLimit(invocation: Parameters<Parameters<typeof perform>[2]>[0]): Promise<number> {
  const { value, raw } = await invocation.api().rateLimit();
  invocation.print(raw, limitText(value));
  return 0;
}

function limitText({ bytesPerSecond, by }: RateLimitAnswer): string {
  const whose = by === 'operator' ? "an operator's word; kaonctl rate-limit clear ends it" : 'by the configuration';
  return bytesPerSecond === null
    ? `layers are fetched as fast as they come (${whose})\n`
    : `layers are fetched at ${formatRate(bytesPerSecond)} at most (${whose})\n`;
}
