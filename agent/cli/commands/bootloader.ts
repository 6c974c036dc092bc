import type { Command } from 'commander';
import { CliError } from '../exit-codes.ts';
import { printable } from '../format-values.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';
import { loaderText, renderDetected } from '../render-bootloader.ts';

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
    description: 'Say whether the loader was seen to write back: only then does a trial that fails fall back.',
    examples: ['bootloader selftest', 'bootloader selftest --reboot'],
  });
  selftest.option('--reboot', 'reboot, in the slot that runs, so that the loader shows it; see the result afterwards');
  perform<{ reboot?: boolean }>(selftest, context, async (invocation) => {
    if (invocation.options.reboot === true) {
      await invocation.api().testLoader();
      invocation.print({ isTestPending: true }, `${testBegunText}\n`);
      return 0;
    }
    const { value } = await invocation.api().status();
    const { hasLoaderCounted, loader } = value;
    const answer = { hasLoaderCounted: hasLoaderCounted ?? null, loader: loader ?? null };
    invocation.print(answer, `${printable(loaderText(value))}\n`);
    return hasLoaderCounted === false || loader?.isProven === false ? 1 : 0;
  });
  bootloader.action(() => {
    throw new CliError('usage-invalid', 'cannot tell what is wanted: say detect or selftest', {
      fix: 'See kaonctl bootloader --help.',
    });
  });
}

const testBegunText =
  'the node reboots into the slot that runs; kaonctl bootloader selftest then says what the loader did';
