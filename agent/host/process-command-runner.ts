import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

/** How a program ended. */
export interface CommandOutcome {
  /** `undefined` when it could not be started or was killed. */
  readonly exitCode: number | undefined;
  /** The signal that killed it; `undefined` for every other end. */
  readonly killedBy?: NodeJS.Signals | undefined;
  /** The end of what it wrote to both outputs; says why when it could not be started or was killed. */
  readonly output: string;
}

const defaultOutputBytes = 4096;

/** How long outputs may stay open after the program ended: a child of its own session may hold them for ever. */
const drainMs = 250;

/** Runs programs with no shell, no input, and in a process group of their own. */
export class ProcessCommandRunner {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #outputBytes: number;

  /** Keeps the last `outputBytes` of an output, 4 KiB unless given. */
  constructor(environment: NodeJS.ProcessEnv = process.env, outputBytes = defaultOutputBytes) {
    this.#environment = environment;
    this.#outputBytes = outputBytes;
  }

  /** Runs `argv` to its end. Aborting kills its whole process group. Never rejects. */
  run(argv: readonly string[], signal: AbortSignal): Promise<CommandOutcome> {
    const [program, ...args] = argv;
    if (program === undefined || signal.aborted) {
      return Promise.resolve({ exitCode: undefined, output: 'it was not started' });
    }
    return new Promise((resolve) => {
      const child = spawn(program, args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
        env: this.#environment,
      });
      const tail = new OutputTail(this.#outputBytes);
      for (const stream of [child.stdout, child.stderr]) collect(stream, tail);
      const onAbort = () => killGroup(child);
      signal.addEventListener('abort', onAbort, { once: true });
      const end = (reason: string, exitCode?: number, killedBy?: NodeJS.Signals) => {
        signal.removeEventListener('abort', onAbort);
        child.stdout.destroy();
        child.stderr.destroy();
        const output = [reason, tail.text()].filter((part) => part !== '').join(': ');
        resolve({ exitCode, killedBy, output });
      };
      child.once('error', (error) => end(`cannot run ${program}: ${error.message}`));
      child.once('exit', (code, killedBy) => {
        // What it left behind would outlive its check.
        killGroup(child);
        const finish = () =>
          end(killedBy === null ? '' : `killed by ${killedBy}`, code ?? undefined, killedBy ?? undefined);
        const timer = setTimeout(finish, drainMs);
        child.once('close', () => {
          clearTimeout(timer);
          finish();
        });
      });
    });
  }
}

function collect(stream: Readable, tail: OutputTail): void {
  stream.on('data', (piece: Buffer) => tail.add(piece));
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: nobody is left in the group, which is what is wanted. EPERM: who is left runs as another user.
    const errno = error instanceof Error && 'code' in error ? error.code : undefined;
    if (errno !== 'ESRCH' && errno !== 'EPERM') throw error;
  }
}

/** Keeps the end of an output, where programs say what went wrong. */
class OutputTail {
  #bytes = Buffer.alloc(0);
  readonly #limitBytes: number;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  add(piece: Buffer): void {
    const joined = Buffer.concat([this.#bytes, piece.subarray(-this.#limitBytes)]);
    this.#bytes = joined.subarray(-this.#limitBytes);
  }

  text(): string {
    return this.#bytes.toString('utf8').trim();
  }
}
