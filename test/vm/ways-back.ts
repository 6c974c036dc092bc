import { powerOn, type TimedLine } from './machine.ts';

/** How long a node was away from its old slot. */
export interface WayBack {
  /** The kind that the record has. */
  readonly kind: string;
  /** From where the firmware begins to boot the new slot, or where that breaks later, until the old slot's agent tells the rollback. */
  readonly seconds: number;
  /** Boots that this took, that of the old slot among them. */
  readonly boots: number;
}

const armed = /"event":"armed"/;
const breaks = /vm-scenario: breaks now/;
const rolledBack = /"event":"update-(?:rolled-back|cancelled)"/;

/** The ways back of a life, by the timeline of its machine; `kinds` are those of its records, the oldest first. */
export function waysBack(timeline: readonly TimedLine[], kinds: readonly string[]): readonly WayBack[] {
  const found: WayBack[] = [];
  let isArmed = false;
  let begin: { readonly atMs: number; boots: number } | undefined;
  for (const { atMs, text } of timeline) {
    if (text === powerOn && isArmed) {
      begin = { atMs, boots: 1 };
      isArmed = false;
    } else if (text === powerOn && begin !== undefined) begin.boots += 1;
    else if (armed.test(text)) isArmed = true;
    else if (breaks.test(text)) begin = { atMs, boots: 0 };
    else if (rolledBack.test(text) && begin !== undefined) {
      const seconds = Math.round((atMs - begin.atMs) / 1000);
      found.push({ kind: kinds[found.length] ?? 'unknown', seconds, boots: begin.boots });
      begin = undefined;
    }
  }
  return found;
}
