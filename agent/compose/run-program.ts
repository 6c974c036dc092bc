import type { Logger } from 'pino';
import { AgentError, errorTable, reportOf } from '../core/errors.ts';

/** Runs a daemon to its end and resolves to its exit code; what ends it is logged and has the code of its error. */
export async function runProgram<Options extends object>(program: {
  readonly log: Logger;
  readonly version: string;
  readonly help: string;
  readonly parse: () => Options | 'help' | 'version';
  readonly run: (options: Options) => Promise<number>;
}): Promise<number> {
  try {
    const options = program.parse();
    if (typeof options !== 'string') return await program.run(options);
    process.stdout.write(options === 'help' ? program.help : `${program.version}\n`);
    return 0;
  } catch (error) {
    const { code, message } = reportOf(error);
    // Whoever mistyped sits at a terminal; everything else is for the log.
    if (code === 'usage-invalid') process.stderr.write(`${message}\n`);
    else program.log.fatal({ err: error, code }, message);
    return errorTable[code].exitCode;
  }
}

/** What `parse` makes of the arguments of `program`. Throws `usage-invalid` for what it throws. */
export function parseStrictly<T>(program: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('usage-invalid', `cannot start ${program}: ${reason}; see --help`, { cause });
  }
}
