/**
 * The order of version strings that the boot loader specification names: segments of digits or of letters, each after a
 * `~` (older than nothing at all), `-`, `^`, `.` or nothing (the newest, in this order). Anything else only separates.
 */

const separators = ['-', '^', '.'] as const;

/** Below zero when `first` is older than `second`, zero when they are equal, above zero when it is newer. */
export function compareVersions(first: string, second: string): number {
  const a = new Cursor(first);
  const b = new Cursor(second);
  for (;;) {
    a.skipForeign();
    b.skipForeign();
    const preRelease = compareSeparator(a, b, '~');
    if (preRelease !== 0) return preRelease;
    if (a.isAtEnd || b.isAtEnd) return Number(b.isAtEnd) - Number(a.isAtEnd);
    for (const separator of separators) {
      const order = compareSeparator(a, b, separator);
      if (order !== 0) return order;
    }
    const order = compareSegments(a, b);
    if (order !== 0) return order;
  }
}

/** Takes the separator where both have it; the one that has it alone is older. */
function compareSeparator(a: Cursor, b: Cursor, separator: string): number {
  const hasA = a.take(separator);
  const hasB = b.take(separator);
  return Number(hasB) - Number(hasA);
}

function compareSegments(a: Cursor, b: Cursor): number {
  if (a.isAtDigit !== b.isAtDigit) return a.isAtDigit ? 1 : -1;
  if (a.isAtDigit) {
    const left = a.takeRun(/[0-9]*/y).replace(/^0+/, '');
    const right = b.takeRun(/[0-9]*/y).replace(/^0+/, '');
    return left.length - right.length || compareText(left, right);
  }
  const left = a.takeRun(/[A-Za-z]*/y);
  const right = b.takeRun(/[A-Za-z]*/y);
  const common = Math.min(left.length, right.length);
  return compareText(left.slice(0, common), right.slice(0, common)) || left.length - right.length;
}

/** The order of the characters' codes, without a locale. */
export function compareText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

class Cursor {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  get isAtDigit(): boolean {
    return /[0-9]/.test(this.#text.charAt(this.#at));
  }

  skipForeign(): void {
    this.takeRun(/[^A-Za-z0-9~^.-]*/y);
  }

  take(separator: string): boolean {
    if (this.#text.charAt(this.#at) !== separator) return false;
    this.#at += 1;
    return true;
  }

  takeRun(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const run = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += run.length;
    return run;
  }
}
