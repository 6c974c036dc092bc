import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { parseDuration, parseSize } from '../config/config-values.ts';

/** A whole number of `min` to `max`, for commander. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Want a whole number of ${min} to ${max}.`);
  };
}

/** A size such as `1MiB` of `min` to `max` bytes, for commander. */
export function size(minBytes: number, maxBytes: number): (text: string) => number {
  return (text) => {
    const value = parseSize(text);
    if (value !== undefined && value >= minBytes && value <= maxBytes) return value;
    throw new InvalidArgumentError(`Want a size such as 512KiB or 1MiB, ${minBytes} to ${maxBytes} bytes.`);
  };
}

/** A rate such as `512KiB/s` as bytes each second, 16 KiB/s or more. Throws for commander. */
export function rate(text: string): number {
  const value = text.endsWith('/s') ? parseSize(text.slice(0, -2)) : undefined;
  if (value !== undefined && value >= 16 * 1024 && value <= 2 ** 40) return value;
  throw new InvalidArgumentError('Want a rate such as 512KiB/s or 4MiB/s, 16KiB/s or more.');
}

/** A duration such as `90s` or `2h` as milliseconds, for commander. */
export function durationMs(text: string): number {
  const value = parseDuration(text);
  if (value !== undefined && value > 0) return value;
  throw new InvalidArgumentError('Want a duration such as 90s, 10m or 2h.');
}

/** When something ends: epoch milliseconds, or a duration from now. */
export type EndTime = { readonly atMs: number } | { readonly inMs: number };

/** An end as ISO 8601 with a zone, or as a duration, for commander. */
export function endTime(text: string): EndTime {
  const inMs = parseDuration(text);
  if (inMs !== undefined && inMs > 0) return { inMs };
  const isIso = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(text);
  const atMs = isIso ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(atMs)) return { atMs };
  throw new InvalidArgumentError('Want a time such as 2026-01-31T06:00:00Z, or a duration such as 2h.');
}

/** A name and what stands behind its `=`. */
export interface NamedValue {
  readonly name: string;
  readonly value: string;
}

/** Collects `NAME=VALUE` options, each name once, for commander. */
export function namedValues(text: string, before: readonly NamedValue[] = []): readonly NamedValue[] {
  const [, name, value] = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('Want NAME=FILE.');
  if (before.some((one) => one.name === name)) throw new InvalidArgumentError(`${name} is there twice.`);
  return [...before, { name, value }];
}

/** Collects an option that may come several times, for commander. */
export function collected(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/**
 * An offline source for kaond, which runs in another directory: `oci:DIR[:NAME]` or `oci-archive:FILE[:NAME]` with its
 * path in full, for commander.
 */
export function offlineSource(text: string): string {
  const [, transport, path, name = ''] = /^(oci|oci-archive):([^:]+)(:.+)?$/.exec(text) ?? [];
  if (transport === undefined || path === undefined) {
    throw new InvalidArgumentError('Want oci:DIR[:NAME] or oci-archive:FILE[:NAME].');
  }
  return `${transport}:${resolve(path)}${name}`;
}
