import { type ChildProcess, spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { AgentError } from '../core/errors.ts';
import type { SlotdConnector } from './client.ts';

const connectPollMs = 20;
const startLimitMs = 15_000;

/** Connects to the socket at `path`, behind which systemd starts kaon-slotd on demand. */
export function socketConnector(path: string): SlotdConnector {
  return async () =>
    connectOnce(path).catch((cause: unknown) => {
      throw new AgentError('slotd-unreachable', `cannot reach kaon-slotd at ${path}: ${reasonOf(cause)}`, { cause });
    });
}

/** Starts kaon-slotd as a child of this process when nobody answers at its socket: for tests, the demo, development. */
export class SpawningConnector {
  readonly #path: string;
  readonly #command: readonly string[];
  #child: ChildProcess | undefined;
  #starting: Promise<void> | undefined;

  /** `command` is the program and its arguments; it has to listen at `path`. */
  constructor(path: string, command: readonly string[]) {
    this.#path = path;
    this.#command = command;
  }

  /** A `SlotdConnector`. */
  async connect(): Promise<Duplex> {
    try {
      return await connectOnce(this.#path);
    } catch {
      // Nobody listens: it has not run yet, exited when it was idle, or was killed.
      this.#starting ??= this.#start().finally(() => {
        this.#starting = undefined;
      });
      await this.#starting;
      return socketConnector(this.#path)();
    }
  }

  /** Ends the child, if there is one. */
  async close(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }

  async #start(): Promise<void> {
    const [program = '', ...args] = this.#command;
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    this.#child = child;
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    for (let waitedMs = 0; waitedMs < startLimitMs; waitedMs += connectPollMs) {
      if (failure !== undefined || child.exitCode !== null || child.signalCode !== null) break;
      try {
        (await connectOnce(this.#path)).destroy();
        return;
      } catch {
        await delay(connectPollMs);
      }
    }
    child.kill('SIGKILL');
    throw new AgentError(
      'slotd-unreachable',
      `cannot start kaon-slotd: ${failure?.message ?? `it did not listen at ${this.#path}`}`,
      {
        cause: failure,
      },
    );
  }
}

function connectOnce(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
