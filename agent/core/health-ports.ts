/** One health check's result. */
export interface CheckResult {
  readonly name: string;
  readonly isRequired: boolean;
  readonly status: 'passed' | 'failed';
  readonly attempts: number;
  readonly durationMs: number;
  /** What it said, bounded to 4 KiB. */
  readonly output: string;
}

/** Runs the node's health checks to their verdict. */
export interface HealthChecks {
  /**
   * Runs all checks once each to a pass or, by `deadlineMs` from now, to a fail. Never rejects for a failing check.
   * `onResult` hears each result as it changes.
   */
  run(
    deadlineMs: number,
    onResult: (result: CheckResult) => void,
    signal: AbortSignal,
  ): Promise<readonly CheckResult[]>;
}

/** What a health check of the host may look at, as it is now. */
export interface HostReadings {
  /** Of the file system that each path lies on; text says why it can't be told. */
  readonly disks: Readonly<Record<string, { readonly availableBytes: number } | string>>;
  readonly memoryAvailableBytes: number;
  /** The hottest sensor of the processor; `undefined` where there is none. */
  readonly temperatureCelsius: number | undefined;
  readonly hasDefaultRoute: boolean;
  /** Whether the clock follows a time source; text says why it can't be told. */
  readonly timeSynchronised: boolean | string;
}

/** Reads the host. Rejects where it gives no answer, and with the reason of `signal`. */
export interface HostProbe {
  read(paths: readonly string[], signal: AbortSignal): Promise<HostReadings>;
}
