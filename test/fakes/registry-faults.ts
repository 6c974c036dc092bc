/** What a registry may do wrong with one answer. */
export type Fault =
  /** Answers this in place of the real answer. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string | Uint8Array;
    }
  /** Closes the connection after so many bytes of the body. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Stops sending after so many bytes of the body, and keeps the connection. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** Answers when what this gives has resolved. */
  | { readonly kind: 'wait'; readonly until: () => Promise<void> }
  /** Never answers. */
  | { readonly kind: 'silence' }
  /** Closes the connection in place of an answer. */
  | { readonly kind: 'hang-up' }
  /** Sends the body byte by byte, each after what this gives has resolved. */
  | { readonly kind: 'trickle'; readonly beforeByte: () => Promise<void> }
  /** The same with a header that has no end. */
  | { readonly kind: 'trickle-head'; readonly beforeByte: () => Promise<void> }
  /** Sends bytes without end after the body. */
  | { readonly kind: 'endless' }
  /** Changes a bit of the body. */
  | { readonly kind: 'corrupt' }
  /** Sends only so many bytes, and says so in Content-Length. */
  | { readonly kind: 'truncate'; readonly toBytes: number }
  /** Sends bytes after the end, and says so in Content-Length only when `isDeclared`. */
  | { readonly kind: 'extend'; readonly byBytes: number; readonly isDeclared: boolean }
  /** Changes headers of the real answer. */
  | { readonly kind: 'headers'; readonly headers: Readonly<Record<string, string>> }
  /** Answers a range request with the whole (200). */
  | { readonly kind: 'ignore-range' }
  /** Sends at most so many bytes a second. For demonstrations: it takes real time. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number };

/** When a fault happens. */
export interface FaultRule {
  /** Matched against `METHOD /path?query`. */
  readonly request: RegExp;
  readonly fault: Fault;
  /** How many requests it happens to; all when it is left out. */
  readonly times?: number;
  /** How many matching requests are spared first. */
  readonly after?: number;
}

/** The faults that are planned, in order; the first that matches a request happens. */
export class FaultPlan {
  #rules: { readonly rule: FaultRule; seen: number }[] = [];

  add(rule: FaultRule): void {
    this.#rules.push({ rule, seen: 0 });
  }

  clear(): void {
    this.#rules = [];
  }

  /** The fault for this request, if one is planned. */
  take(request: string): Fault | undefined {
    for (const entry of this.#rules) {
      if (!entry.rule.request.test(request)) continue;
      entry.seen += 1;
      const spared = entry.rule.after ?? 0;
      if (entry.seen > spared && entry.seen <= spared + (entry.rule.times ?? Number.POSITIVE_INFINITY)) {
        return entry.rule.fault;
      }
    }
    return undefined;
  }
}
