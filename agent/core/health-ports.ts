import type { Baseline, BaselineCheck } from './baseline.ts';

/** One health check's result. */
export interface CheckResult {
  readonly name: string;
  readonly isRequired: boolean;
  /** `skipped`: what the checks come to was clear before it had its turn. */
  readonly status: 'passed' | 'failed' | 'skipped';
  readonly attempts: number;
  readonly durationMs: number;
  /** What it said, bounded to 4 KiB. */
  readonly output: string;
  /** Why its failure does not count, in words: what was broken before the update fails no new image. */
  readonly excuse?: string;
}

/** Where a check stands while they run. */
export interface CheckProgress extends Omit<CheckResult, 'status'> {
  /** `waiting`: not tried yet. `trying`: tried, and it is not clear yet what comes of it. */
  readonly status: CheckResult['status'] | 'waiting' | 'trying';
  /** Since when it has this status. */
  readonly sinceAtMs?: number;
  /** What it waits for, in words; absent where it is done. */
  readonly waitsFor?: string;
}

/** Runs the node's health checks to their verdict. */
export interface HealthChecks {
  /**
   * Runs all checks, each to a pass or, by `deadlineMs` from now, to a fail; a check that says that it still works may take
   * longer, up to the hard deadline. What `baseline` excuses is not waited for. Never rejects for a failing check.
   * `onProgress` hears of each as it changes.
   */
  run(
    deadlineMs: number,
    onProgress: (progress: CheckProgress) => void,
    signal: AbortSignal,
    baseline?: Baseline,
  ): Promise<readonly CheckResult[]>;
  /** Tries the checks that are held against what they said before an update, for two minutes at most. Never rejects. */
  takeBaseline(signal: AbortSignal): Promise<readonly BaselineCheck[]>;
  /**
   * Runs the checks once more that show whether a committed slot is well: a failure has to stand for two minutes. What shows
   * nothing of the slot, as the registry's, is left out. Rejects only with the reason of `signal`.
   */
  watch(
    onProgress: (progress: CheckProgress) => void,
    signal: AbortSignal,
    baseline?: Baseline,
  ): Promise<readonly CheckResult[]>;
  /** Does what the node has to do once the verdict is known, for 30 seconds at most. Never rejects. */
  conclude(isPassed: boolean, signal: AbortSignal): Promise<void>;
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
