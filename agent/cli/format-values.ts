/** A duration in its two largest units: `850ms`, `42s`, `3m 05s`, `2h 04m`, `5d 3h`. */
export function formatDuration(durationMs: number): string {
  if (!Number.isFinite(durationMs) || durationMs < 0) return '?';
  if (durationMs < 1000) return `${Math.round(durationMs)}ms`;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** A size in the largest binary unit that leaves at least one: `512 B`, `1.5 KiB`, `20 MiB`. */
export function formatBytes(sizeBytes: number): string {
  if (!Number.isFinite(sizeBytes) || sizeBytes < 0) return '?';
  let value = sizeBytes;
  let unit: string = units[0];
  for (const next of units.slice(1)) {
    // 1023.6 KiB would be shown as 1024 KiB.
    if (value < 1023.5) break;
    value /= 1024;
    unit = next;
  }
  const isShort = unit === 'B' || value >= 9.95;
  return `${isShort ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

/** A rate: `3.2 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** A time of the wire to the second, in UTC: `2026-01-31 14:05:09Z`; the text itself when it is no time. */
export function formatTime(isoText: string | undefined): string {
  if (isoText === undefined) return '-';
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/.exec(isoText);
  return found === null ? printable(isoText) : `${found[1] ?? ''} ${found[2] ?? ''}Z`;
}

/** A digest short enough for a table, with its algorithm: `sha256:0123456789ab…`. */
export function shortDigest(digest: string | undefined): string {
  if (digest === undefined) return '-';
  const [algorithm = '', hex = ''] = digest.split(':', 2);
  return hex.length > 12 ? `${printable(algorithm)}:${printable(hex.slice(0, 12))}…` : printable(digest);
}

/**
 * Text from an image, a check or a registry in one line that can't move the cursor or colour the terminal: control and
 * bidirectional characters become `?`, line breaks a blank.
 */
export function printable(text: string): string {
  return text.replace(/[\r\n\t]+/g, ' ').replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, '?');
}

/** Text of several lines, each as `printable` makes it, behind `indent`. */
export function printableLines(text: string, indent: string): string {
  return text
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => `${indent}${printable(line)}`)
    .join('\n');
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
