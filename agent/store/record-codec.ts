/*
 * The journal's record documents: JSON text of the records of `ports.ts`; absent fields stand for `undefined`.
 */
import { z } from 'zod';
import type { BootRecord, Deployment, EventRecord, RollbackRecord, Transfer, UpdateRecord } from '../core/ports.ts';
import type { Outcome, UpdateRequest } from '../core/update-state.ts';
import { rollbackKinds } from '../core/rollback-cause.ts';
import {
  causeFields,
  decodeDocument,
  evidenceSchema,
  outcomeSchema,
  provenanceSchema,
  requestSchema,
  rollbackReasonSchema,
} from './state-codec.ts';

/** Most rows that each table keeps; the oldest go first. */
export const rowLimits = { updates: 1000, rollbacks: 200, boots: 100, events: 10_000, idempotency: 1000 } as const;

/** Most characters of an event's details; longer ones are left out. */
export const eventDetailsLimit = 2048;

function orUndefined<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined);
}

const slot = z.enum(['a', 'b']);

const deploymentSchema: z.ZodType<Deployment> = z.looseObject({
  slot,
  digest: orUndefined(z.string()),
  image: z.string(),
  version: orUndefined(z.string()),
  rollbackIndex: z.number(),
  keyIds: z.array(z.string()),
  rule: orUndefined(z.string()),
  provenance: provenanceSchema,
  updateId: z.string(),
  writtenAtMs: z.number(),
  committedAtMs: orUndefined(z.number()),
});

const bootSchema: z.ZodType<BootRecord> = z.looseObject({
  bootId: z.string().min(1),
  slot,
  firstSeenAtMs: z.number(),
  isEndedCleanly: z.boolean(),
  hasLoaderCounted: z.boolean().optional(),
});

const rollbackSchema: z.ZodType<RollbackRecord> = z.looseObject({
  id: z.string().min(1),
  updateId: z.string(),
  atMs: z.number(),
  slot,
  digest: orUndefined(z.string()),
  image: z.string(),
  // What a newer agent calls a reason is unknown here; the record's message says it in words.
  reason: rollbackReasonSchema.catch('trial-lost'),
  message: z.string(),
  evidence: z.array(evidenceSchema),
  kind: z.exactOptional(z.enum(rollbackKinds).catch('trial-lost')),
  isInconclusive: z.exactOptional(causeFields.isInconclusive),
  tries: causeFields.tries,
  checks: causeFields.checks,
});

const transferSchema: z.ZodType<Transfer> = z.looseObject({
  fetchedBytes: z.number(),
  keptBytes: z.number(),
  copiedBytes: z.number(),
  writtenBytes: z.number(),
  isResumed: z.boolean(),
});

const eventSchema: z.ZodType<Omit<EventRecord, 'sequence'>> = z.looseObject({
  atMs: z.number(),
  updateId: orUndefined(z.string()),
  kind: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()),
});

/** Reads a deployment; `undefined` for what is not one. */
export function decodeDeployment(document: string): Deployment | undefined {
  return decodeDocument(deploymentSchema, document);
}

/** Reads a boot; `undefined` for what is not one. */
export function decodeBoot(document: string): BootRecord | undefined {
  return decodeDocument(bootSchema, document);
}

/** Reads a rollback; `undefined` for what is not one. */
export function decodeRollback(document: string): RollbackRecord | undefined {
  return decodeDocument(rollbackSchema, document);
}

/** Reads the event of row `sequence`; `undefined` for what is not one. */
export function decodeEvent(sequence: number, document: string): EventRecord | undefined {
  const event = decodeDocument(eventSchema, document);
  return event && { ...event, sequence };
}

/** Reads an update's row; `undefined` when its request is not one. */
export function decodeUpdate(
  request: string,
  outcome: string | null,
  transfer: string | null,
): UpdateRecord | undefined {
  const decoded = decodeDocument(requestSchema, request);
  return (
    decoded && {
      request: decoded,
      outcome: outcome === null ? undefined : decodeDocument(outcomeSchema, outcome),
      transfer: transfer === null ? undefined : decodeDocument(transferSchema, transfer),
    }
  );
}

/** The document of an event, its details left out where they are over `eventDetailsLimit`. */
export function encodeEvent(event: Omit<EventRecord, 'sequence'>): string {
  const details = JSON.stringify(event.details);
  const kept = details.length > eventDetailsLimit ? { detailsLeftOut: details.length } : event.details;
  const { atMs, updateId, kind } = event;
  return JSON.stringify({ atMs, updateId, kind, message: event.message.slice(0, eventDetailsLimit), details: kept });
}

/** What stands for the request of an update whose end is known and whose beginning is lost. */
export function requestOfLostUpdate(outcome: Outcome): UpdateRequest {
  return {
    id: outcome.updateId,
    kind: outcome.kind,
    image: 'unknown',
    from: undefined,
    until: 'committed',
    requestedAtMs: outcome.atMs,
    requestedBy: 'operator',
  };
}
