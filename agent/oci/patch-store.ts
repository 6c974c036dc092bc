import type { PatchOffer } from '../../partitions/slot-writer.ts';
import { AgentError } from '../core/errors.ts';
import { mediaTypes } from '../core/image-format/manifest.ts';
import { parsePatchManifest, patchBaseAnnotation } from '../core/image-format/patch-manifest.ts';
import type { ResolvedImage } from '../core/ports.ts';
import { type ImageStore, verifyDigest } from './image-store.ts';
import { parseReferrers, type Referrer, referrersTag } from './referrers.ts';

/** So many manifests are read for a base. */
const triedLimit = 4;

/**
 * The patches beside `image` that lead from the image with the manifest `base`; an empty list where there are none. They
 * are found by the registry's list of referrers, or at the tag that stands for one, and are not trusted. Rejects with the
 * store's codes, and with `manifest-invalid` or `digest-mismatch` where there is a list that can't be used.
 */
export async function collectPatches(
  store: ImageStore,
  image: ResolvedImage,
  base: string,
  signal: AbortSignal,
): Promise<readonly PatchOffer[]> {
  const found = new Map<string, PatchOffer>();
  for (const { digest } of await referrersOf(store, image.manifestDigest, base, signal)) {
    const stored = await store.manifest(digest, signal);
    if (stored === undefined) continue;
    const what = `the patch ${digest} of ${store.location}`;
    verifyDigest(stored.bytes, digest, what);
    const manifest = parsePatchManifest(stored.bytes);
    // What lists it says so, too, and may be mistaken.
    if (manifest.subject !== image.manifestDigest || manifest.base !== base) {
      throw new AgentError('manifest-invalid', `cannot use ${what}: it is listed for images that it does not name`);
    }
    for (const patch of manifest.patches) if (!found.has(patch.partition)) found.set(patch.partition, patch);
  }
  return Array.from(found.values());
}

/** The newest first. */
async function referrersOf(
  store: ImageStore,
  subject: string,
  base: string,
  signal: AbortSignal,
): Promise<readonly Referrer[]> {
  const isPatch = ({ artifactType, annotations }: Referrer) =>
    artifactType === mediaTypes.kaonPatches && annotations[patchBaseAnnotation] === base;
  const choose = (all: readonly Referrer[]) => all.filter(isPatch).slice(-triedLimit).toReversed();
  const listed = choose((await store.referrers?.(subject, mediaTypes.kaonPatches, signal))?.referrers ?? []);
  if (listed.length > 0) return listed;
  // Some registries answer with an empty list while the tag is filled.
  const list = await store.tagged(referrersTag(subject), signal);
  return list === undefined ? [] : choose(parseReferrers(list.bytes));
}
