import { z } from 'zod';
import { absolutePath, duration, mapOf, name, optional, text, time, yesOrNo } from './config-values.ts';

const day = 86_400_000;

const ids = (what: string) =>
  z
    .array(name, `want a list of ${what} ids`)
    .max(32, `want at most 32 ${what} ids`)
    .refine((all) => new Set(all).size === all.length, `want each ${what} once`)
    .default([]);

const require = z
  .strictObject({
    keys: ids('key'),
    identities: ids('identity'),
    atLeast: z.int('want a whole number').min(1, 'want 1 or more').default(1),
    maxAge: optional(duration(3_600_000, 3650 * day, 'of 1h to 3650d')),
  })
  .refine(({ keys, identities }) => keys.length + identities.length > 0, 'want at least one key or identity')
  .refine(({ keys, identities, atLeast }) => atLeast <= keys.length + identities.length, {
    path: ['atLeast'],
    message: 'want no more than the number of keys and identities in the rule',
  })
  .transform(({ maxAge, ...rest }) => ({ ...rest, maxAgeMs: maxAge }));

const exactText = z.string('want text').min(1, 'want some text').max(1024, 'want at most 1024 characters');

const provenance = z
  .strictObject({
    keys: ids('key'),
    identities: ids('identity'),
    builder: exactText,
    buildType: exactText,
    source: z.strictObject({ repository: exactText, ref: optional(exactText) }),
    parameters: z
      .record(z.string().max(256), z.string('want text; put numbers in quotes').max(1024), 'want a map')
      .refine((map) => Object.keys(map).length <= 64, 'want at most 64 parameters')
      .default({}),
  })
  .refine(({ keys, identities }) => keys.length + identities.length > 0, 'want at least one key or identity')
  .transform(({ builder, source, ...rest }) => ({
    ...rest,
    builderId: builder,
    sourceRepository: source.repository,
    sourceRef: source.ref,
  }));

const prefix = text.regex(
  /^[a-z0-9.:[\]-]+(\/[a-z0-9._-]+)*$/,
  'want HOST[:PORT] or HOST[:PORT]/PATH in lower case, with no / at its end',
);

const rule = z
  .strictObject({
    prefix,
    require,
    requireTransparencyLog: yesOrNo(false),
    requireProvenance: optional(provenance),
    allowDowngrade: yesOrNo(false),
  })
  .refine(
    ({ require: { keys, maxAgeMs }, requireTransparencyLog }) =>
      maxAgeMs === undefined || keys.length === 0 || requireTransparencyLog,
    {
      path: ['require', 'maxAge'],
      message: 'want requireTransparencyLog: true beside it, as nothing else attests when a key signed',
    },
  )
  .transform(({ prefix, require: wanted, requireTransparencyLog, requireProvenance, allowDowngrade }) => ({
    prefix,
    require: wanted,
    isLogEntryRequired: requireTransparencyLog,
    isDowngradeAllowed: allowDowngrade,
    provenance: requireProvenance,
  }));

const key = z
  .strictObject({ file: absolutePath, notBefore: optional(time), notAfter: optional(time) })
  .refine(({ notBefore, notAfter }) => notBefore === undefined || notAfter === undefined || notBefore < notAfter, {
    path: ['notAfter'],
    message: 'want a time after notBefore',
  })
  .transform(({ file, notBefore, notAfter }) => ({
    file,
    validity:
      notBefore === undefined && notAfter === undefined ? undefined : { notBeforeMs: notBefore, notAfterMs: notAfter },
  }));

/** The trust policy. */
export const trustSchema = z
  .strictObject({
    keys: mapOf(key, 64).default({}),
    identities: mapOf(z.strictObject({ issuer: exactText, subject: exactText }), 64).default({}),
    trustedRoot: optional(absolutePath),
    revoked: z
      .array(
        z
          .string('want a key id, identity id or fingerprint')
          .regex(/^(sha256:[0-9a-f]{64}|[A-Za-z0-9][A-Za-z0-9._-]{0,63})$/, 'want an id, or sha256: and 64 hex digits'),
        'want a list of ids and fingerprints',
      )
      .max(256, 'want at most 256 entries')
      .default([]),
    rules: z.array(rule, 'want a list of rules').max(64, 'want at most 64 rules').default([]),
    repositories: optional(
      z
        .array(prefix, 'want a list of repositories')
        .min(1, 'want at least one')
        .max(64, 'want at most 64 repositories'),
    ),
    reportSilenceAfter: optional(duration(3_600_000, 3650 * day, 'of 1h to 3650d')),
  })
  .transform(({ reportSilenceAfter, ...rest }) => ({ ...rest, reportSilenceAfterMs: reportSilenceAfter }));
