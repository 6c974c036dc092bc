/** What a verified trigger asks for. */
export interface VerifiedTrigger {
  readonly keyId: string;
  /** What the sequence is remembered by. */
  readonly sequenceKeys: readonly string[];
  readonly image: string;
  readonly action: 'stage' | 'activate';
  readonly sequence: number;
}

/** Verifies a trigger's signature, expiry and sequence. Throws `trigger-…` codes. */
export type TriggerVerifier = (
  envelope: unknown,
  lastSequences: Readonly<Record<string, number>>,
  nowMs: number,
) => VerifiedTrigger;
