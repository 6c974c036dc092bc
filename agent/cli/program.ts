import { Command, CommanderError } from 'commander';
import { addBootloaderCommands } from './commands/bootloader.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addEventsCommand } from './commands/events.ts';
import { addExplainCommand } from './commands/explain.ts';
import { addHistoryCommands } from './commands/history.ts';
import { addHoldCommands } from './commands/hold.ts';
import { addInitCommand } from './commands/init.ts';
import { addImageCommands } from './commands/image.ts';
import { addKeygenCommand } from './commands/keygen.ts';
import { addRateLimitCommands } from './commands/rate-limit.ts';
import { addStatusCommands } from './commands/status.ts';
import { addStepCommands } from './commands/steps.ts';
import { addTriggerCommands } from './commands/trigger.ts';
import { addTrustCommands } from './commands/trust.ts';
import { addUpdateCommands } from './commands/update.ts';
import { CliError, type Failure, failureOf, interruptedExitCode } from './exit-codes.ts';
import { printable } from './format-values.ts';
import { type CliContext, type CliDeps, jsonOption, socketOption } from './invocation.ts';
import type { Io } from './io.ts';

const groups = [
  ['On the node, over the daemon:', [addStatusCommands, addUpdateCommands, addStepCommands, addHistoryCommands]],
  [
    'Operating:',
    [
      ...[
        addHoldCommands,
        addRateLimitCommands,
        addEventsCommand,
        addInitCommand,
        addDoctorCommand,
        addBootloaderCommands,
      ],
      ...[addTrustCommands, addExplainCommand],
    ],
  ],
  ['Making images and triggers, anywhere:', [addKeygenCommand, addImageCommands, addTriggerCommands]],
] as const;

/** All commands of kaonctl. They leave their exit code in `context`. */
export function buildProgram(context: CliContext): Command {
  const { io, deps } = context;
  const program = new Command('kaonctl')
    .description('The A/B upgrade agent of this node, and the tools that make its images.')
    .version(deps.version, '--version', 'print the version')
    .option(...socketOption)
    .option(...jsonOption)
    // `--version` after a command is that command's own.
    .enablePositionalOptions()
    .helpOption('--help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      // Errors are told in one way, by runCli.
      outputError: () => undefined,
      getOutHelpWidth: () => io.columns,
      getErrHelpWidth: () => io.columns,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText('after', '\nExamples:\n  $ kaonctl status\n  $ kaonctl update registry.acme.io/os/edge:v2')
    .exitOverride();
  for (const [heading, adders] of groups) {
    program.commandsGroup(heading);
    for (const add of adders) add(program, context);
  }
  return program;
}

/**
 * Runs kaonctl with `argv`, the words after its name, and resolves to its exit code. Nothing is thrown: errors are told on
 * stderr, and with `--json` as one JSON value on stdout as well.
 */
export async function runCli(argv: readonly string[], io: Io, deps: CliDeps): Promise<number> {
  const context: CliContext = { io, deps, exitCode: 0 };
  try {
    await buildProgram(context).parseAsync([...argv], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (io.interrupted.aborted) return interruptedExitCode;
    const failure = failureOf(error instanceof CommanderError ? usageError(error) : error);
    tell(failure, argv.includes('--json'), io);
    return failure.exitCode;
  }
}

function tell({ code, message, fix, details, exitCode }: Failure, isJson: boolean, io: Io): void {
  io.err(`kaonctl: ${printable(message)}\nfix: ${printable(fix)}\ncode: ${printable(code)} (exit ${exitCode})\n`);
  if (isJson) io.out(`${JSON.stringify({ error: { code, message, fix, details } })}\n`);
}

/** Commander's complaint in our form; its suggestion becomes the fix. */
function usageError({ message, code }: CommanderError): CliError {
  // Help in place of a command: something is missing.
  if (code === 'commander.help') {
    return new CliError('usage-invalid', 'cannot run: no command is named', { fix: 'Name one of the commands above.' });
  }
  const [first = '', ...rest] = message.replace(/^error: /, '').split('\n');
  const suggestion = rest.join(' ').replace(/[()]/g, '').trim();
  return new CliError('usage-invalid', `cannot read the command line: ${first}`, {
    fix: suggestion === '' ? 'See kaonctl --help.' : suggestion,
  });
}
