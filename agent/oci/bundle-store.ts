import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import { isDigest } from '../core/image-format/digest.ts';
import { manifestLimits, mediaTypes, parseJson, parseShape } from '../core/image-format/manifest.ts';
import { evidenceLimits } from '../core/image-source.ts';
import type { SigstoreBundle } from '../core/ports.ts';
import type { EvidenceReader } from './evidence-reader.ts';
import { verifyDigest } from './image-store.ts';
import type { ListedReferrers } from './referrer-pages.ts';
import { parseReferrers, type Referrer, referrersTag } from './referrers.ts';

/** Media type of a Sigstore bundle, of the layer that holds one, and of the manifest around it. */
export const bundleMediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** What the types of all versions of bundles begin with. */
const bundleTypePrefix = 'application/vnd.dev.sigstore.bundle';

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  artifactType: z.string().max(255).optional(),
  config: z.object({ mediaType: z.string().max(255) }),
  layers: z.array(z.object({ mediaType: z.string(), digest: z.string(), size: z.int().nonnegative() })).max(16),
  subject: z.object({ digest: z.string() }).optional(),
});

/** The registry's own list; a registry that gave the image and refuses its list is as one without the list. */
async function listedBy({ store, signal }: EvidenceReader, digest: string): Promise<ListedReferrers | undefined> {
  try {
    return await store.referrers?.(digest, bundleMediaType, signal);
  } catch (error) {
    if (error instanceof AgentError && error.code === 'registry-unauthorized') return undefined;
    throw error;
  }
}

/** The referrers of `digest` that may hold bundles, the newest first. */
async function candidatesOf(reader: EvidenceReader, digest: string): Promise<readonly Referrer[]> {
  const { store, signal } = reader;
  const found = new Map<string, Referrer>();
  const add = (referrers: readonly Referrer[]) => {
    for (const referrer of referrers) found.set(referrer.digest, referrer);
  };
  // An index at the tag may call bundles something else, or nothing; registries, too, answer with an empty list while the
  // tag is filled. So both are looked at, and each member is opened.
  await reader.attempt(async () => {
    const list = await store.tagged(referrersTag(digest), signal);
    if (list !== undefined) add(parseReferrers(list.bytes));
  });
  await reader.attempt(async () => {
    const listed = await listedBy(reader, digest);
    add(listed?.referrers ?? []);
    if (listed?.problem !== undefined) reader.problems.push(listed.problem);
  });
  const others: readonly (string | undefined)[] = [mediaTypes.kaonPatches];
  const candidates = [...found.values()].filter(
    ({ mediaType, artifactType }) => mediaType === mediaTypes.ociManifest && !others.includes(artifactType),
  );
  const isCalledBundle = ({ artifactType }: Referrer) => artifactType?.startsWith(bundleTypePrefix) === true;
  // Whatever else refers to the image must not push out what is called a bundle.
  const ordered = [...candidates.filter((one) => !isCalledBundle(one)), ...candidates.filter(isCalledBundle)];
  return ordered.slice(-evidenceLimits.tried).toReversed();
}

/** The bundle in the manifest `referrer`; `undefined` for a manifest that holds something else or is gone. */
async function readBundle(
  reader: EvidenceReader,
  referrer: Referrer,
  subject: string,
): Promise<SigstoreBundle | undefined> {
  const { store, signal } = reader;
  const stored = await store.manifest(referrer.digest, signal);
  if (stored === undefined) return undefined;
  const source = `${store.location}@${referrer.digest}`;
  verifyDigest(stored.bytes, referrer.digest, source);
  const what = `the referrer ${source}`;
  const parsed = parseShape(manifestSchema, parseJson(stored.bytes, what, manifestLimits.manifestBytes), what);
  const [layer, ...more] = parsed.layers;
  const isBundle = layer?.mediaType.startsWith(bundleTypePrefix) === true;
  if (layer === undefined || !isBundle) return undefined;
  if (parsed.subject?.digest !== subject) {
    throw new AgentError(
      'manifest-invalid',
      `cannot use the bundle ${source}: it is listed beside what it does not name`,
    );
  }
  if (more.length > 0 || !isDigest(layer.digest) || layer.size > evidenceLimits.itemBytes) {
    throw new AgentError(
      'manifest-invalid',
      `cannot use the bundle ${source}: want one layer with a digest and at most ${evidenceLimits.itemBytes} bytes`,
    );
  }
  return { bundle: await reader.blob(layer.digest, layer.size, `the bundle ${source}`), source };
}

/** The Sigstore bundles that refer to `digest` (OCI 1.1 referrers, or the tag for them), the newest first. */
export async function bundlesAt(reader: EvidenceReader, digest: string): Promise<readonly SigstoreBundle[]> {
  const found: SigstoreBundle[] = [];
  for (const referrer of await candidatesOf(reader, digest)) {
    await reader.attempt(async () => {
      const bundle = await readBundle(reader, referrer, digest);
      if (bundle !== undefined) found.push(bundle);
    });
  }
  return found;
}
