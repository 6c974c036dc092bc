import type { Clock } from '../core/ports.ts';

/** What a command talks through. */
export interface Io {
  /** Writes to stdout: what was asked for. */
  readonly out: (text: string) => void;
  /** Writes to stderr: progress and errors. */
  readonly err: (text: string) => void;
  /** Whether stderr is a terminal, on which a line may be drawn over. */
  readonly isTerminal: boolean;
  /** Width of the terminal. */
  readonly columns: number;
  readonly clock: Clock;
  /** Aborts with Ctrl-C. */
  readonly interrupted: AbortSignal;
  /** The environment, for `KAON_SOCKET` and `COSIGN_PASSWORD`, and nothing that a command hides. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}
