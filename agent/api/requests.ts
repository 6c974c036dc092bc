import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import { isDigest } from '../core/image-format/digest.ts';

const until = z.enum(['staged', 'activated', 'committed']);
const image = z.string().min(1).max(1024);
const from = z
  .string()
  .regex(/^(oci|oci-archive):./, 'want oci:DIRECTORY or oci-archive:FILE')
  .max(4096);

/** `POST /v1/updates`. */
export const updateBody = z.strictObject({
  image,
  from: from.optional(),
  until: until.default('committed'),
  /** Lets it go below the rollback floor. */
  downgradeReason: z.string().trim().min(1).max(256).optional(),
  /** Lets it fetch what it needs over a metered link. */
  metered: z.boolean().default(false),
});

/** `POST /v1/plans`. */
export const planBody = z.strictObject({ image, from: from.optional() });

/** `POST /v1/updates/{id}/activate`. */
export const activateBody = z.strictObject({ reboot: z.boolean().default(false) });

/** `POST /v1/updates/{id}/resume`. */
export const resumeBody = z.strictObject({ metered: z.boolean().default(false) });

/** `PUT /v1/hold`. */
export const holdBody = z.strictObject({
  reason: z.string().min(1).max(256),
  until: z.iso.datetime({ offset: true }).optional(),
});

/** `PUT /v1/rate-limit`; `null`: as fast as it comes. */
export const rateLimitBody = z.strictObject({
  bytesPerSecond: z
    .int('want whole bytes, or null')
    .min(16 * 1024, 'want 16384 or more, or null')
    .max(2 ** 40)
    .nullable(),
});

/** A verb without anything to say. */
export const emptyBody = z.strictObject({});

/** `{slot}` of a path. */
export const slotParams = z.object({ slot: z.enum(['a', 'b']) });

/** `{id}` of a path. */
export const idParams = z.object({ id: z.string().regex(/^[a-z0-9-]{1,64}$/, 'want an id') });

/** `{digest}` of a path. */
export const digestParams = z.object({ digest: z.string().refine(isDigest, 'want sha256:… or sha512:…') });

/** Paging, newest first. */
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  before: z.string().max(64).optional(),
});

/** Paging of events, oldest first. */
export const eventsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(200),
  after: z.coerce.number().int().min(0).default(0),
});

/** `GET /v1/status`. */
export const statusQuery = z.strictObject({
  /** Seconds to wait for a change. */
  wait: z.coerce.number().min(0).max(60).default(0),
});

/** `value` in the shape of `schema`. Throws `usage-invalid` that names the field of `what`. */
export function parseRequest<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const unknownKeys = issue?.code === 'unrecognized_keys' ? issue.keys.join(', ') : undefined;
  const field = [...(issue?.path ?? []), ...(unknownKeys === undefined ? [] : [unknownKeys])].join('.');
  const reason = unknownKeys === undefined ? (issue?.message ?? 'invalid') : 'it is not known; remove it';
  throw new AgentError(
    'usage-invalid',
    `cannot take the ${what}: ${field === '' ? 'the whole of it' : field}: ${reason}`,
    {
      details: { field },
    },
  );
}
