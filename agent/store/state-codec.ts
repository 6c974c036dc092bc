/*
 * The state document: JSON text of `UpdateState`, as the core defines it; absent fields stand for `undefined`.
 * Readers keep the fields that they do not know, so that an older agent hands on what a newer one wrote.
 */
import { z } from 'zod';
import { type ErrorCode, isErrorCode } from '../core/errors.ts';
import { type RollbackCause, rollbackKinds } from '../core/rollback-cause.ts';
import type { EvidenceItem, Outcome, RollbackReason, UpdateRequest, UpdateState } from '../core/update-state.ts';

/** Largest document that is read or written, in bytes. */
export const documentLimitBytes = 1024 * 1024;

function orUndefined<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined);
}

// A newer agent may have codes that this one's tables lack; the message still says what happened.
const errorCode = z.string().transform((code): ErrorCode => (isErrorCode(code) ? code : 'internal'));
const slot = z.enum(['a', 'b']);
const timeMs = z.number();

const reasons: readonly RollbackReason[] = [
  'never-booted',
  'trial-lost',
  'health-failed',
  'power-lost',
  'operator',
  'activation-failed',
  'mark-good-failed',
  'committed-slot-lost',
];

/** Reads a rollback reason; one that this agent does not know is refused. */
export const rollbackReasonSchema: z.ZodType<RollbackReason> = z.enum(reasons);

/** Reads one piece of evidence; a kind that this agent does not know becomes `error`. */
export const evidenceSchema: z.ZodType<EvidenceItem> = z.looseObject({
  kind: z.enum(['health-check', 'loader', 'pstore', 'journal', 'boots', 'units', 'error']).catch('error'),
  name: z.string(),
  text: z.string(),
});

/** What a cause is made of. */
export const causeFields = {
  isInconclusive: z.boolean(),
  tries: z.exactOptional(z.looseObject({ armed: z.number(), used: z.number() })),
  checks: z.exactOptional(z.array(z.string())),
};

/** Reads why an update goes back; a kind that this agent does not know becomes `trial-lost`. */
const causeSchema: z.ZodType<RollbackCause> = z.looseObject({
  kind: z.enum(rollbackKinds).catch('trial-lost'),
  ...causeFields,
});

/** Reads an update request. */
export const requestSchema: z.ZodType<UpdateRequest> = z.looseObject({
  id: z.string().min(1),
  kind: z.enum(['install', 'rollback']),
  image: z.string(),
  from: orUndefined(z.string()),
  until: z.enum(['staged', 'activated', 'committed']),
  requestedAtMs: timeMs,
  requestedBy: z.enum(['operator', 'trigger']).catch('operator'),
  isMeteredAllowed: z.exactOptional(z.boolean()),
  downgradeReason: z.exactOptional(z.string()),
});

/** Reads how an update ended; an unknown code becomes `internal`. */
export const outcomeSchema: z.ZodType<Outcome> = z.looseObject({
  updateId: z.string().min(1),
  kind: z.enum(['install', 'rollback']),
  result: z.enum(['committed', 'rolled-back', 'failed', 'cancelled']),
  atMs: timeMs,
  digest: orUndefined(z.string()),
  code: z.exactOptional(errorCode),
  message: z.exactOptional(z.string()),
});

/** Reads how an image was built; what a newer agent wrote differently is left out. */
export const provenanceSchema = z
  .looseObject({
    builderId: z.string(),
    buildType: z.string(),
    sourceRepository: z.string(),
    sourceRef: orUndefined(z.string()),
    sourceCommit: orUndefined(z.string()),
    signerId: z.string(),
  })
  .optional()
  .catch(undefined);

const target = z.looseObject({
  slot,
  previous: slot,
  digest: orUndefined(z.string()),
  resolvedDigest: orUndefined(z.string()),
  version: orUndefined(z.string()),
  rollbackIndex: z.number(),
  keyIds: z.array(z.string()),
  rule: orUndefined(z.string()),
  provenance: provenanceSchema,
});

const active = {
  update: requestSchema,
  retry: z.exactOptional(
    z.looseObject({
      attempts: z.number(),
      retryAtMs: timeMs,
      durableBytes: z.exactOptional(z.number()),
      last: z.looseObject({ code: errorCode, message: z.string() }),
    }),
  ),
};
const pause = z.exactOptional(z.looseObject({ atMs: timeMs }));
const targeted = { ...active, target, isRearmed: z.boolean(), isRestaged: z.exactOptional(z.literal(true)) };

/** Not worth the state: without it every check counts as it is configured. */
const baseline = z
  .looseObject({
    atMs: timeMs,
    checks: z.array(
      z.looseObject({ name: z.string(), isPassed: z.boolean(), faults: z.exactOptional(z.array(z.string())) }),
    ),
  })
  .optional()
  .catch(undefined);

const probation = z
  .looseObject({
    update: requestSchema,
    target,
    leftMs: z.number(),
    baseline,
    alarm: z.looseObject({ atMs: timeMs, message: z.string() }).optional().catch(undefined),
  })
  .optional()
  .catch(undefined);

const stateSchema: z.ZodType<UpdateState> = z.discriminatedUnion('phase', [
  z.looseObject({ phase: z.literal('idle'), last: z.exactOptional(outcomeSchema), probation }),
  z.looseObject({ phase: z.literal('preparing'), ...active, pause, probation }),
  z.looseObject({ phase: z.literal('writing'), ...targeted, pause }),
  z.looseObject({ phase: z.literal('staged'), ...targeted, pause }),
  z.looseObject({ phase: z.literal('activating'), ...targeted, baseline }),
  z.looseObject({ phase: z.literal('activated'), isRebootAsked: z.boolean(), ...targeted, baseline }),
  z.looseObject({
    phase: z.literal('trial'),
    ...targeted,
    baseline,
    bootId: z.string(),
    deadlineMonotonicMs: z.number(),
  }),
  z.looseObject({ phase: z.literal('committing'), ...targeted, baseline }),
  z.looseObject({ phase: z.literal('cancelling'), ...active, target: orUndefined(target), probation }),
  z.looseObject({
    phase: z.literal('rolling-back'),
    ...targeted,
    probation,
    reason: rollbackReasonSchema,
    message: z.string(),
    evidence: z.array(evidenceSchema),
    cause: z.exactOptional(causeSchema),
    isTargetBooted: z.boolean(),
    step: z.enum(['record', 'reboot']),
  }),
]);

/** The document of `state`. */
export function encodeState(state: UpdateState): string {
  return JSON.stringify(state);
}

/**
 * The state that `document` holds, unknown fields kept; `undefined` for what this agent does not understand, such as
 * a phase of a newer one. Never throws: the loader's truth then stands for the journal's.
 */
export function decodeState(document: string): UpdateState | undefined {
  return decodeDocument(stateSchema, document);
}

/** The document read by `schema`, or `undefined` where it is not JSON, too large, or not of that shape. */
export function decodeDocument<T>(schema: z.ZodType<T>, document: string): T | undefined {
  if (document.length > documentLimitBytes) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(document);
  } catch {
    // Not JSON is one of the answers that `undefined` stands for.
    return undefined;
  }
  const result = schema.safeParse(value);
  return result.success ? result.data : undefined;
}
