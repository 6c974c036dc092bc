import type { Command } from 'commander';
import type { StatusAnswer } from '../answers.ts';
import { CliError } from '../exit-codes.ts';
import { printable } from '../format-values.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';
import { renderDetected } from '../render-bootloader.ts';

/** `bootloader detect` and `bootloader selftest`. */
export function addBootloaderCommands(program: Command, context: CliContext): void {
  const bootloader = addCommand(program, {
    usage: 'bootloader',
    isOffline: true,
    description: 'Find out which loader this node has, and whether it can count.',
    examples: ['bootloader detect', 'bootloader selftest'],
  });
  const detect = addCommand(bootloader, {
    usage: 'detect',
    isOffline: true,
    description: 'Say which loaders this system may have, why, and what belongs into the configuration.',
    examples: ['bootloader detect'],
  });
  perform(detect, context, async (invocation) => {
    const found = await invocation.deps.detectLoaders();
    invocation.print(found, renderDetected(found));
    return found.length === 0 ? 1 : 0;
  });
  const selftest = addCommand(bootloader, {
    usage: 'selftest',
    description: 'Say whether the loader was seen to count this boot: only then does a trial that fails fall back.',
    examples: ['bootloader selftest'],
  });
  perform(selftest, context, async (invocation) => {
    const { value } = await invocation.api().status();
    const { hasLoaderCounted } = value;
    invocation.print({ hasLoaderCounted: hasLoaderCounted ?? null }, `${printable(verdictText(value))}\n`);
    return hasLoaderCounted === false ? 1 : 0;
  });
  bootloader.action(() => {
    throw new CliError('usage-invalid', 'cannot tell what is wanted: say detect or selftest', {
      fix: 'See kaonctl bootloader --help.',
    });
  });
}

function verdictText({ hasLoaderCounted, slots }: StatusAnswer): string {
  if (hasLoaderCounted === false) {
    return 'the loader did not count this boot: it cannot write back, and a trial would never fall back';
  }
  if (hasLoaderCounted === true) return 'the loader counted this boot';
  if (slots.length === 0) return 'not known: the loader cannot be read now';
  return 'not known yet: the next boot will show whether the loader counts';
}
