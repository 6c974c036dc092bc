/** Runs a program with no shell. */
export interface CommandRunner {
  /** Runs `argv` to its end. `exitCode` is `undefined` when it could not be started or was killed. Never rejects. */
  run(
    argv: readonly string[],
    signal: AbortSignal,
  ): Promise<{
    readonly exitCode: number | undefined;
    /** The end of what it wrote to both outputs, bounded; says why when it could not be started or was killed. */
    readonly output: string;
  }>;
}
