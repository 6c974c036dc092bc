import { Command, CommanderError } from 'commander';
import { addBootloaderCommands } from './commands/bootloader.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addEventsCommand } from './commands/events.ts';
import { addExplainCommand } from './commands/explain.ts';
import { addHistoryCommands } from './commands/history.ts';
import { addHoldCommands } from './commands/hold.ts';
import { addInitCommand } from './commands/init.ts';
import { addRateLimitCommands } from './commands/rate-limit.ts';
import { addStatusCommands } from './commands/status.ts';
import { addStepCommands } from './commands/steps.ts';
import { addUpdateCommands } from './commands/update.ts';
import { CliError, type Failure, failureOf, interruptedExitCode } from './exit-codes.ts';
import { printable } from './format-values.ts';
import { type CliContext, type CliDeps, jsonOption, socketOption } from './invocation.ts';
import type { Io } from './io.ts';

const versionFlag = '--version';

const operating = 'Operating:';

const groups = [
  ['On the node, over the daemon:', [addStatusCommands, addUpdateCommands, addStepCommands, addHistoryCommands]],
  [
    operating,
    [
      ...[addHoldCommands, addRateLimitCommands, addEventsCommand, addInitCommand, addDoctorCommand],
      ...[addBootloaderCommands, addExplainCommand],
    ],
  ],
] as const;

/** All commands of kaonctl. They leave their exit code in `context`. */
export async function buildProgram(context: CliContext): Promise<Command> {
  const program = withoutTools(context);
  await addTools(program, context);
  return program;
}

/** The commands that `argv` needs: without the tools where its first word is a command of the others, or asks for none. */
async function programFor(argv: readonly string[], context: CliContext): Promise<Command> {
  const program = withoutTools(context);
  const word = argv.find((one) => one !== jsonOption[0]);
  const isEnough = word === versionFlag || program.commands.some((command) => command.name() === word);
  if (!isEnough) await addTools(program, context);
  return program;
}

function withoutTools(context: CliContext): Command {
  const program = emptyProgram(context);
  for (const [heading, adders] of groups) {
    program.commandsGroup(heading);
    for (const add of adders) add(program, context);
  }
  return program;
}

/** What makes and judges images is most of kaonctl's code, which a question to the daemon need not wait for. */
async function addTools(program: Command, context: CliContext): Promise<void> {
  const [{ addTrustCommands }, { addKeygenCommand }, { addImageCommands }, { addTriggerCommands }] = await Promise.all([
    import('./commands/trust.ts'),
    import('./commands/keygen.ts'),
    import('./commands/image.ts'),
    import('./commands/trigger.ts'),
  ]);
  program.commandsGroup(operating);
  addTrustCommands(program, context);
  program.commandsGroup('Making images and triggers, anywhere:');
  for (const add of [addKeygenCommand, addImageCommands, addTriggerCommands]) add(program, context);
}

function emptyProgram({ io, deps }: CliContext): Command {
  return (
    new Command('kaonctl')
      .description('The A/B upgrade agent of this node, and the tools that make its images.')
      .version(deps.version, versionFlag, 'print the version')
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
      .exitOverride()
  );
}

/**
 * Runs kaonctl with `argv`, the words after its name, and resolves to its exit code. Nothing is thrown: errors are told on
 * stderr, and with `--json` as one JSON value on stdout as well.
 */
export async function runCli(argv: readonly string[], io: Io, deps: CliDeps): Promise<number> {
  const context: CliContext = { io, deps, exitCode: 0 };
  try {
    const program = await programFor(argv, context);
    await program.parseAsync([...argv], { from: 'user' });
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
