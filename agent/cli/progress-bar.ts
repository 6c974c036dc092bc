import { formatBytes, formatDuration, formatRate } from './format-values.ts';

/** How far something is. */
export interface Progress {
  readonly label: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** `undefined` while it is not known yet. */
  readonly bytesPerSecond: number | undefined;
}

/** Bytes that were done at a time of the monotonic clock. */
export interface Sample {
  readonly atMs: number;
  readonly doneBytes: number;
}

const windowMs = 10_000;
const barWidth = 24;

/** `samples` with one more, without those that are too old to tell the rate of now. */
export function addSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const last = samples.at(-1);
  // A write that began anew has another rate.
  const kept = last !== undefined && last.doneBytes > sample.doneBytes ? [] : samples;
  return [...kept.filter(({ atMs }) => sample.atMs - atMs <= windowMs), sample];
}

/** The rate over `samples`; `undefined` until there are two of different times. */
export function rateOf(samples: readonly Sample[]): number | undefined {
  const [first] = samples;
  const last = samples.at(-1);
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined;
  return ((last.doneBytes - first.doneBytes) * 1000) / (last.atMs - first.atMs);
}

/** Whole percent, 100 only when all is done. */
export function percentOf(doneBytes: number, totalBytes: number): number {
  return totalBytes <= 0 ? 0 : Math.max(0, Math.min(100, Math.floor((doneBytes * 100) / totalBytes)));
}

/** One line that fits into `columns`; where it is narrow the time left, the rate, the bar and the sizes are dropped in turn. */
export function renderProgress(progress: Progress, columns: number): string {
  const { label, doneBytes, totalBytes, bytesPerSecond } = progress;
  const percent = percentOf(doneBytes, totalBytes);
  const filled = Math.round((percent * barWidth) / 100);
  const bar = ` [${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}]`;
  const head = `${label} ${String(percent).padStart(3)} %`;
  const sizes = `  ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  const rate = bytesPerSecond === undefined ? '' : `  ${formatRate(bytesPerSecond)}`;
  const left = leftOf(progress);
  const candidates = [
    `${head}${bar}${sizes}${rate}${left}`,
    `${head}${bar}${sizes}${rate}`,
    `${head}${bar}${sizes}`,
    `${head}${sizes}`,
    head,
  ];
  // The last column stays free: some terminals break the line there.
  const width = Math.max(1, columns - 1);
  return candidates.find((line) => line.length <= width) ?? head.slice(0, width);
}

function leftOf({ doneBytes, totalBytes, bytesPerSecond }: Progress): string {
  if (bytesPerSecond === undefined || bytesPerSecond <= 0 || doneBytes >= totalBytes) return '';
  return `  ${formatDuration(((totalBytes - doneBytes) * 1000) / bytesPerSecond)} left`;
}
