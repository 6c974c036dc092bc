import type { Command } from 'commander';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { nodeConfigFile } from '../../config/config-files.ts';
import { CliError } from '../exit-codes.ts';
import { printable } from '../format-values.ts';
import { initConfig, type InitResult } from '../init-config.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';

interface InitOptions {
  readonly output: string;
  readonly force?: boolean;
  readonly compatible?: string;
}

/** `init`. */
export function addInitCommand(program: Command, context: CliContext): void {
  const init = addCommand(program, {
    usage: 'init',
    isOffline: true,
    description:
      'Write the configuration of a node that nobody set up for kaon, from its slots, loader and registries; exit 1 if something is left to be filled in.',
    examples: ['init', 'init --output - --compatible acme-gw-2', 'init --force'],
  })
    .option('--output <file>', 'where it goes; - for stdout', nodeConfigFile)
    .option('--compatible <name>', 'the kind of node, as images name it')
    .option('--force', 'write over a configuration that is there');
  perform<InitOptions>(init, context, async (invocation) => {
    const { output, compatible, force } = invocation.options;
    const result = initConfig(await invocation.deps.readInitFacts(), { compatible });
    if (output !== '-') await write(output, result.text, force === true);
    const { text, unknowns, booted } = result;
    if (output === '-' && invocation.options.json !== true) {
      invocation.io.out(text);
      invocation.io.err(summary(undefined, result));
    } else {
      invocation.print(
        { ...(output === '-' ? { text } : { file: output }), unknowns, booted: booted ?? null },
        summary(output, result),
      );
    }
    return unknowns.length === 0 ? 0 : 1;
  });
}

function summary(file: string | undefined, { unknowns, booted }: InitResult): string {
  const written = file === undefined ? '' : `wrote ${printable(file)}\n`;
  const open_ = unknowns.map((unknown) => `  - ${printable(unknown)}\n`).join('');
  const slot = booted ?? 'a or b, the one that runs';
  return (
    `${written}${unknowns.length === 0 ? '' : `left to be filled in, or to be looked at:\n${open_}`}` +
    `then: kaond --check-config; enable kaond, kaon-slotd.socket, kaon-check.socket, kaon-health and kaon-trial-guard.timer; ` +
    `kaonctl mark good ${slot}; kaonctl bootloader selftest --reboot; kaonctl doctor\n`
  );
}

/** All of it or nothing; over a file that is there only by `isForced`. */
async function write(path: string, text: string, isForced: boolean): Promise<void> {
  const part = `${path}.new`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(isForced ? part : path, isForced ? 'w' : 'wx', 0o644);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (isForced) await rename(part, path);
  } catch (cause) {
    const isThere = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST';
    const reason = isThere ? 'it is there' : cause instanceof Error ? cause.message : String(cause);
    throw new CliError('config-invalid', `cannot write ${path}: ${reason}`, {
      fix: isThere
        ? 'Look at it first; --force writes over it, and --output - shows what would be written.'
        : 'Run it as root, or name another file by --output.',
      cause,
    });
  }
}
