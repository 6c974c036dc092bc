import { z } from 'zod';

/**
 * What kaonctl reads of the API's answers. Fields that it does not show are left out, and literals are plain text, so that
 * it understands a newer kaond.
 */

const report = z.object({ code: z.string(), message: z.string() });

const provenance = z.object({
  builderId: z.string(),
  sourceRepository: z.string(),
  sourceRef: z.string().optional(),
  sourceCommit: z.string().optional(),
  signerId: z.string(),
});

const deployment = z.object({
  digest: z.string().optional(),
  image: z.string(),
  version: z.string().optional(),
  rollbackIndex: z.number(),
  rule: z.string().optional(),
  keyIds: z.array(z.string()).readonly().optional(),
  provenance: provenance.optional(),
  updateId: z.string(),
  writtenAt: z.string(),
  committedAt: z.string().optional(),
});

const slot = z.object({
  name: z.string(),
  isBooted: z.boolean(),
  isPrimary: z.boolean(),
  state: z.string(),
  loaderState: z.string(),
  triesLeft: z.number(),
  deployment: deployment.optional(),
});

const request = z.object({
  id: z.string(),
  kind: z.string(),
  image: z.string(),
  from: z.string().optional(),
  until: z.string(),
  requestedAt: z.string(),
  requestedBy: z.string(),
});

const outcome = z.object({
  updateId: z.string(),
  kind: z.string(),
  result: z.string(),
  at: z.string(),
  digest: z.string().optional(),
  code: z.string().optional(),
  message: z.string().optional(),
});

const progress = z.object({
  step: z.string(),
  partition: z.string(),
  fetchedBytes: z.number(),
  layerSizeBytes: z.number(),
  /** Content that was on the node already; an older agent says nothing of it. */
  keptBytes: z.number().optional(),
  copiedBytes: z.number().optional(),
  patchedBytes: z.number().optional(),
  writtenBytes: z.number(),
});

/** An older agent, or one that wrote nothing yet, says nothing of it. */
const transfer = z.object({
  fetchedBytes: z.number(),
  keptBytes: z.number(),
  copiedBytes: z.number(),
  writtenBytes: z.number(),
  isResumed: z.boolean(),
});

const current = z.object({
  request,
  phase: z.string(),
  target: z
    .object({ slot: z.string(), previous: z.string(), digest: z.string().optional(), version: z.string().optional() })
    .optional(),
  progress: progress.optional(),
  transfer: transfer.optional(),
  pausedAt: z.string().optional(),
  lastError: report.optional(),
});

const waiting = z.object({ gate: z.string(), code: z.string(), text: z.string(), until: z.string().optional() });
const hold = z.object({ reason: z.string(), until: z.string().optional() });
const knownBad = z.object({ digest: z.string(), reason: z.string(), updateId: z.string(), at: z.string() });
const check = z.object({
  name: z.string(),
  isRequired: z.boolean(),
  status: z.string(),
  attempts: z.number(),
  durationMs: z.number(),
  output: z.string(),
  /** Of newer agents. */
  sinceAt: z.string().optional(),
  waitsFor: z.string().optional(),
  excuse: z.string().optional(),
});

const host = z.object({
  hostname: z.string(),
  architecture: z.string(),
  uptimeMs: z.number(),
  memoryTotalBytes: z.number(),
  memoryAvailableBytes: z.number(),
  stateDirAvailableBytes: z.number().optional(),
  system: z
    .object({ osName: z.string().optional(), osVersion: z.string().optional(), kernel: z.string().optional() })
    .optional(),
});

export const statusSchema = z.object({
  agentVersion: z.string(),
  nodeId: z.string(),
  compatible: z.string(),
  labels: z.record(z.string(), z.string()),
  phase: z.string(),
  booted: z.string().optional(),
  primary: z.string().optional(),
  slots: z.array(slot).readonly(),
  current: current.optional(),
  last: outcome.optional(),
  waitingFor: z.array(waiting).readonly(),
  degraded: z.array(report).readonly(),
  knownBad: z.array(knownBad).readonly(),
  rollbackFloor: z.number(),
  holdUntil: hold.optional(),
  startedAt: z.string(),
  loader: z
    .object({
      name: z.string(),
      isProven: z.boolean().optional(),
      by: z.string().optional(),
      provenAt: z.string().optional(),
      isTestPending: z.boolean(),
      isTestable: z.boolean(),
      notes: z.array(z.string()).readonly(),
    })
    .optional(),
  hasLoaderCounted: z.boolean().optional(),
  probation: z
    .object({
      updateId: z.string(),
      slot: z.string(),
      leftMs: z.number(),
      alarm: z.object({ at: z.string(), message: z.string() }).optional(),
    })
    .optional(),
  offers: z
    .object({
      quietSinceAt: z.string(),
      verified: z.object({ at: z.string() }).optional(),
      contactAt: z.string().optional(),
      reportAfterMs: z.number().optional(),
      alarm: z.object({ at: z.string(), message: z.string() }).optional(),
    })
    .optional(),
  trust: z.object({ signedAt: z.string().optional(), followed: z.string().optional() }).optional(),
  link: z.object({ isMetered: z.boolean(), source: z.string(), text: z.string() }).optional(),
  /** Only for people: an agent that sends something else is no reason to show nothing. */
  host: host.optional().catch(undefined),
});

export const slotsSchema = z.array(slot).readonly();

export const updateSchema = z.object({
  request,
  outcome: outcome.optional(),
  phase: z.string(),
  current: current.optional(),
  transfer: transfer.optional(),
});

export const updatesSchema = z.array(updateSchema).readonly();

export const planSchema = z.object({
  image: z.string(),
  digest: z.string(),
  name: z.string(),
  version: z.string(),
  isAlreadyRunning: z.boolean(),
  slot: z.string(),
  trust: z.object({ rule: z.string(), keyIds: z.array(z.string()).readonly(), provenance: provenance.optional() }),
  downloadBytes: z.number(),
  writeBytes: z.number().optional(),
  partitions: z
    .array(
      z.object({
        name: z.string(),
        layerSizeBytes: z.number(),
        contentSizeBytes: z.number().optional(),
        partitionSizeBytes: z.number(),
        ways: z
          .object({
            fullBytes: z.number(),
            indexBytes: z.number().optional(),
            patchBytes: z.number().optional(),
            way: z.string(),
          })
          .optional(),
      }),
    )
    .readonly(),
  blockers: z.array(report).readonly(),
  warnings: z.array(z.string()).readonly(),
});

export const healthSchema = z.object({
  verdict: z.string(),
  updateId: z.string().optional(),
  checks: z.array(check).readonly(),
});

export const rollbackSchema = z.object({
  id: z.string(),
  updateId: z.string(),
  at: z.string(),
  slot: z.string(),
  digest: z.string().optional(),
  image: z.string(),
  reason: z.string(),
  /** An older agent did not classify. */
  kind: z.string().optional(),
  isInconclusive: z.boolean().optional(),
  tries: z.object({ armed: z.number(), used: z.number() }).optional(),
  checks: z.array(z.string()).readonly().optional(),
  message: z.string(),
  evidence: z.array(z.object({ kind: z.string(), name: z.string(), text: z.string() })).readonly(),
});

export const rollbacksSchema = z.array(rollbackSchema).readonly();
export const knownBadSchema = z.array(knownBad).readonly();
export const holdSchema = z.object({ hold: hold.nullable() });
export const rateLimitSchema = z.object({ bytesPerSecond: z.number().nullable(), by: z.string() });

export const eventSchema = z.object({
  sequence: z.number(),
  at: z.string(),
  updateId: z.string().optional(),
  kind: z.string(),
  message: z.string(),
});

export const eventsSchema = z.array(eventSchema).readonly();
export const acceptedSchema = z.object({ updateId: z.string(), isRepeated: z.boolean() });
export const triggerAcceptedSchema = acceptedSchema.extend({ keyId: z.string(), action: z.string() });

export const problemSchema = z.object({
  code: z.string(),
  detail: z.string(),
  fix: z.string().optional(),
  details: z.record(z.string(), z.unknown()).optional(),
});

export type StatusAnswer = z.infer<typeof statusSchema>;
export type ProvenanceAnswer = z.infer<typeof provenance>;
export type SlotAnswer = z.infer<typeof slot>;
export type UpdateAnswer = z.infer<typeof updateSchema>;
export type TransferAnswer = z.infer<typeof transfer>;
export type OutcomeAnswer = z.infer<typeof outcome>;
export type PlanAnswer = z.infer<typeof planSchema>;
export type HealthAnswer = z.infer<typeof healthSchema>;
export type RollbackAnswer = z.infer<typeof rollbackSchema>;
export type KnownBadAnswer = z.infer<typeof knownBad>;
export type HoldAnswer = z.infer<typeof hold>;
export type RateLimitAnswer = z.infer<typeof rateLimitSchema>;
export type EventAnswer = z.infer<typeof eventSchema>;
export type AcceptedAnswer = z.infer<typeof acceptedSchema>;

/** `heldBy`: who holds the reboot back; an agent that does not say it reboots at once. */
export const rebootSchema = z.object({ heldBy: z.string().optional() });
