import { z } from 'zod';

const time = z.number().min(0).max(8.64e15);
const offer = z.looseObject({ digest: z.string().max(256), atMs: time });

/** What was offered to the node, among the facts: what can't be read is as if it were not there. */
export const offersSchema = z
  .looseObject({
    watchedAtMs: time,
    newest: offer.optional().catch(undefined),
    verified: offer.optional().catch(undefined),
    contactAtMs: time.optional().catch(undefined),
    reportedAtMs: time.optional().catch(undefined),
  })
  .optional()
  .catch(undefined);
