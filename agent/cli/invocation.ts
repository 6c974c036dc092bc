import type { Command } from 'commander';
import type { DetectedLoader } from '../../bootloader/detect.ts';
import type { Platform } from '../core/image-format/manifest.ts';
import type { Random } from '../core/ports.ts';
import { ApiClient, defaultSocketPath } from './client.ts';
import type { InitFacts } from './init-config.ts';
import type { Io } from './io.ts';
import type { InspectNode } from './node-inspection.ts';

/** What kaonctl is made with, beside its `Io`. */
export interface CliDeps {
  /** Of package.json. */
  readonly version: string;
  /** When it was built, in epoch milliseconds; `undefined` for sources. */
  readonly builtAtMs: number | undefined;
  readonly random: Random;
  /** Which image of an index is meant. */
  readonly platform: Platform;
  /** What this system shows of its loader. */
  readonly detectLoaders: () => Promise<readonly DetectedLoader[]>;
  /** What this node shows that nobody set up for kaon. */
  readonly readInitFacts: () => Promise<InitFacts>;
  /** What this node shows of itself, without kaond. */
  readonly inspectNode: InspectNode;
  /** stdin, for `-` in place of a file. */
  readonly openInput: () => AsyncIterable<Uint8Array>;
}

/** What the commands of one run share. */
export interface CliContext {
  readonly io: Io;
  readonly deps: CliDeps;
  exitCode: number;
}

/** Options that every command has. */
export interface GlobalOptions {
  readonly json?: boolean;
  readonly socket?: string;
}

/** One call of a command: its arguments and options, and where it writes. */
export class Invocation<T> {
  readonly args: readonly string[];
  readonly options: T & GlobalOptions;
  readonly io: Io;
  readonly deps: CliDeps;

  constructor(context: CliContext, args: readonly string[], options: T & GlobalOptions) {
    this.io = context.io;
    this.deps = context.deps;
    this.args = args;
    this.options = options;
  }

  /** The argument at `index`; commander has seen to it that it is there. */
  argument(index: number): string {
    return this.args[index] ?? '';
  }

  /** Writes the one result: `value` as JSON where JSON is asked for, else `text`. */
  print(value: unknown, text: string): void {
    this.io.out(this.options.json === true ? `${JSON.stringify(value)}\n` : text);
  }

  /** The daemon at `--socket`, `KAON_SOCKET`, or where it is by default. */
  api(): ApiClient {
    const { io, options } = this;
    const path = options.socket ?? io.environment['KAON_SOCKET'] ?? '';
    return new ApiClient(path === '' ? defaultSocketPath : path, io.clock, io.interrupted);
  }
}

/** A command as it is shown: usage as commander takes it, and what follows `kaonctl` in each example. */
export interface CommandText {
  readonly usage: string;
  readonly description: string;
  readonly examples: readonly string[];
  /** It never talks to kaond. */
  readonly isOffline?: true;
}

export const jsonOption = ['--json', 'print the result as one JSON value'] as const;
export const socketOption = [
  '--socket <path>',
  'where kaond listens (default: $KAON_SOCKET, or /run/kaon/kaon.sock)',
] as const;

/** Adds a command below `parent`; give it options, and `perform` its action. */
export function addCommand(parent: Command, { usage, description, examples, isOffline }: CommandText): Command {
  const lines = examples.map((example) => `  $ kaonctl ${example}`).join('\n');
  const command = parent
    .command(usage)
    .description(description)
    .addHelpText('after', `\n${examples.length === 1 ? 'Example' : 'Examples'}:\n${lines}`)
    .option(...jsonOption);
  return isOffline === true ? command : command.option(...socketOption);
}

/** Lets `command` do `action`, which resolves to the exit code; `T` names the options that the command has. */
export function perform<T extends object>(
  command: Command,
  context: CliContext,
  action: (invocation: Invocation<T>) => Promise<number>,
): void {
  command.action(async () => {
    const options = command.optsWithGlobals<T & GlobalOptions>();
    context.exitCode = await action(new Invocation(context, command.args, options));
  });
}
