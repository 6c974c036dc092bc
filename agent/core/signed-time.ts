/** The latest attested time of a signature that this process verified: it is no earlier than that. */
export interface SignedTime {
  /** In epoch milliseconds; `undefined` where there was none. */
  readonly latestMs: number | undefined;
  /** Durable when it resolves; a time before the latest changes nothing. */
  raise(atMs: number): Promise<void>;
}
