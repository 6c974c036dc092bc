/** Runs a program with no shell. */
export interface CommandRunner {
  /**
   * Runs `argv` to its end. `exitCode` is `undefined` when it could not be started or was killed; `killedBy` then names
   * the signal. Aborting kills by SIGKILL. Never rejects.
   */
  run(
    argv: readonly string[],
    signal: AbortSignal,
  ): Promise<{
    readonly exitCode: number | undefined;
    readonly killedBy?: NodeJS.Signals | undefined;
    readonly output: string;
  }>;
}
