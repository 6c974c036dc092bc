import type { ApiClient, StatusSnapshot } from './client.ts';
import { CliError } from './exit-codes.ts';
import {
  type FollowEnd,
  type FollowState,
  type FollowTurn,
  followTurn,
  isRebootExpected,
  startOfFollowing,
  tenthLine,
} from './follow-update.ts';
import { printable } from './format-values.ts';
import type { Io } from './io.ts';
import { renderProgress } from './progress-bar.ts';

/** How watching ended. */
export type WatchEnd =
  FollowEnd | { readonly kind: 'rebooting'; readonly phase: string; readonly slot: string | undefined };

/** How long a daemon that is gone is waited for. */
export const reconnectMs = 30_000;
const reconnectPauseMs = 1000;
/** Progress changes the status many times a second. */
const pollPauseMs = 250;

const clearLine = '\r\u001b[2K';

/** Shows an update's progress on stderr: a bar on a terminal, else a line for each tenth. */
class ProgressOutput {
  readonly #io: Io;
  #isBarShown = false;

  constructor(io: Io) {
    this.#io = io;
  }

  show(before: FollowState, turn: FollowTurn): void {
    turn.lines.forEach((line) => this.line(line));
    if (this.#io.isTerminal) {
      if (turn.progress === undefined) return;
      this.#io.err(`${clearLine}${renderProgress(turn.progress, this.#io.columns)}`);
      this.#isBarShown = true;
    } else {
      const tenth = tenthLine(before, turn);
      if (tenth !== undefined) this.line(tenth);
    }
  }

  line(text: string): void {
    this.clear();
    this.#io.err(`${printable(text)}\n`);
  }

  clear(): void {
    if (this.#isBarShown) this.#io.err(clearLine);
    this.#isBarShown = false;
  }
}

/**
 * Follows update `id` on stderr until it came as far as `wanted`, ended, or the node reboots for its trial. Rejects with
 * `daemon-unreachable` once kaond was gone for 30 s, with the codes of the API, or with the reason of Ctrl-C.
 */
export async function watchUpdate(
  io: Io,
  api: ApiClient,
  id: string,
  wanted: 'staged' | 'activated' | 'committed',
): Promise<WatchEnd> {
  const output = new ProgressOutput(io);
  let state = startOfFollowing;
  let seen: StatusSnapshot | undefined;
  let lostAtMs: number | undefined;
  try {
    for (;;) {
      try {
        const status = await api.changedStatus(seen?.etag);
        lostAtMs = undefined;
        if (status !== undefined) {
          const update = await api.update(id);
          seen = status;
          const view = { status: status.value, update: update.value, atMonotonicMs: io.clock.monotonicMs() };
          const turn = followTurn(state, view, wanted);
          output.show(state, turn);
          state = turn.state;
          if (turn.end !== undefined) return turn.end;
        }
        await io.clock.sleep(pollPauseMs, io.interrupted);
      } catch (error) {
        if (!isLost(error)) throw error;
        const { phase = '', slot } = state;
        if (wanted === 'committed' && isRebootExpected(phase)) return { kind: 'rebooting', phase, slot };
        if (lostAtMs === undefined) output.line(`kaond is gone; trying for ${reconnectMs / 1000} s to find it again`);
        lostAtMs ??= io.clock.monotonicMs();
        await pauseOrGiveUp(io, lostAtMs, `cannot follow update ${id}`, error);
      }
    }
  } finally {
    output.clear();
  }
}

/** Whether `error` says that kaond is gone. */
export function isLost(error: unknown): boolean {
  return error instanceof CliError && error.code === 'daemon-unreachable';
}

/** Waits before the next try to reach kaond. Rejects with `daemon-unreachable` when it was gone for too long. */
export async function pauseOrGiveUp(io: Io, lostAtMs: number, what: string, cause: unknown): Promise<void> {
  if (io.clock.monotonicMs() - lostAtMs >= reconnectMs) {
    throw new CliError('daemon-unreachable', `${what}: kaond did not come back within ${reconnectMs / 1000} s`, {
      cause,
    });
  }
  await io.clock.sleep(reconnectPauseMs, io.interrupted);
}
