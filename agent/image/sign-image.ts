import { AgentError } from '../core/errors.ts';
import { digestOf } from '../core/image-format/digest.ts';
import { mediaTypes, parseManifestOrIndex } from '../core/image-format/manifest.ts';
import { formatReference, type Reference } from '../core/image-format/reference.ts';
import { bundlesAt } from '../oci/bundle-store.ts';
import { type BesideStore, EvidenceReader } from '../oci/evidence-reader.ts';
import { Layout, layoutStore } from '../oci/layout.ts';
import { DirectoryFiles } from '../oci/layout-files.ts';
import { LayoutWriter } from '../oci/layout-writer.ts';
import type { RegistryPusher } from '../oci/registry-pusher.ts';
import { signatureTag } from '../oci/signature-store.ts';
import { bundleManifest, isBundleBy, signatureBundle, type SignedSubject } from './bundle-manifest.ts';
import { blobOf, layoutTarget, type ReferrerTarget, registryTarget } from './patch-target.ts';
import type { SigningKey } from './private-key.ts';
import { addSignature } from './signature-manifest.ts';

/** `simple-signing`: at the tag of cosign 1 and 2. `bundle`: a Sigstore bundle that refers to the image, as cosign 3 writes. */
export type SignatureFormat = 'simple-signing' | 'bundle';

/** Both, so that any version of cosign, of kaon, and any admission controller finds one that it reads. */
export const signatureFormats: readonly SignatureFormat[] = ['simple-signing', 'bundle'];

/** What was signed, and where the signature lies. */
export interface SignedResult {
  readonly digest: string;
  /** Where a simple signature lies. */
  readonly tag: string;
  readonly formats: readonly SignatureFormat[];
  readonly keyFingerprint: string;
}

function tagOf(digest: string): string {
  const tag = signatureTag(digest);
  if (tag === undefined)
    throw new AgentError('usage-invalid', `cannot sign ${digest}: signatures lie at a tag, which only fits sha256`);
  return tag;
}

function requirePinned(reference: Reference, digest: string): void {
  if (reference.digest === undefined || reference.digest === digest) return;
  throw new AgentError('digest-mismatch', `cannot sign ${formatReference(reference)}: its bytes have ${digest}`);
}

/** Signs what `reference` names in a registry, beside the signatures that are there. Rejects with the registry's codes. */
export async function signInRegistry(
  pusher: RegistryPusher,
  reference: Reference,
  key: SigningKey,
  signal: AbortSignal,
  formats: readonly SignatureFormat[] = signatureFormats,
): Promise<SignedResult> {
  const found = await pusher.manifest(reference.digest ?? reference.tag ?? 'latest', signal);
  if (found === undefined)
    throw new AgentError('image-not-found', `cannot sign ${formatReference(reference)}: the registry does not have it`);
  const subject = subjectOf(reference, found.bytes);
  const addSimple = async (tag: string) => {
    const existing = await pusher.manifest(tag, signal);
    const { bytes, blobs } = addSignature(existing?.bytes, reference.repository, subject.digest, key);
    if (existing !== undefined && Buffer.from(existing.bytes).equals(bytes)) return;
    for (const blob of blobs) {
      if (await pusher.hasBlob(blob.digest, signal)) continue;
      await pusher.uploadBlob(() => once(blob.bytes), blob.digest, blob.bytes.byteLength, signal);
    }
    await pusher.putManifest(tag, bytes, mediaTypes.ociManifest, signal);
  };
  const addBundle = () => putBundle(pusher.beside, registryTarget(pusher, signal), subject, key, signal);
  return sign(subject, key, formats, addSimple, addBundle);
}

/** Signs an image in an OCI layout directory for the repository of `reference`. Rejects with the layout's codes. */
export async function signInLayout(
  directory: string,
  refName: string | undefined,
  reference: Reference,
  key: SigningKey,
  signal: AbortSignal,
  formats: readonly SignatureFormat[] = signatureFormats,
): Promise<SignedResult> {
  const store = layoutStore(new Layout(new DirectoryFiles(directory)), refName);
  const subject = subjectOf(reference, (await store.find(reference, signal)).bytes);
  const addSimple = async (tag: string) => {
    const existing = await store.tagged(tag, signal);
    const { bytes, blobs } = addSignature(existing?.bytes, reference.repository, subject.digest, key);
    if (existing !== undefined && Buffer.from(existing.bytes).equals(bytes)) return;
    const writer = await LayoutWriter.open(directory);
    for (const blob of blobs) await writer.writeBlob(blob.bytes);
    await writer.putManifest(bytes, mediaTypes.ociManifest, tag);
  };
  const addBundle = () => putBundle(store, layoutTarget(directory, signal), subject, key, signal);
  return sign(subject, key, formats, addSimple, addBundle);
}

function subjectOf(reference: Reference, bytes: Uint8Array): SignedSubject {
  const digest = digestOf(bytes);
  requirePinned(reference, digest);
  const parsed = parseManifestOrIndex(bytes);
  const { mediaType } = parsed.kind === 'index' ? parsed.index : parsed.manifest;
  return { mediaType, digest, sizeBytes: bytes.byteLength };
}

async function sign(
  { digest }: SignedSubject,
  key: SigningKey,
  formats: readonly SignatureFormat[],
  addSimple: (tag: string) => Promise<void>,
  addBundle: () => Promise<void>,
): Promise<SignedResult> {
  const tag = tagOf(digest);
  if (formats.includes('simple-signing')) await addSimple(tag);
  if (formats.includes('bundle')) await addBundle();
  return { digest, tag, formats, keyFingerprint: key.publicKey.fingerprint };
}

/** Puts a bundle beside `subject`, unless one by `key` is there. */
async function putBundle(
  store: BesideStore,
  target: ReferrerTarget,
  subject: SignedSubject,
  key: SigningKey,
  signal: AbortSignal,
): Promise<void> {
  const there = await bundlesAt(new EvidenceReader(store, signal), subject.digest);
  // ECDSA signs differently each time, so bundles are verified and not compared.
  if (there.some(({ bundle }) => isBundleBy(bundle, subject.digest, key))) return;
  const { bytes, referrer, blobs } = bundleManifest(subject, signatureBundle(subject.digest, key), key);
  for (const blob of blobs) await target.putBlob(() => once(blob), blobOf(blob));
  await target.putReferrer(bytes, referrer, subject.digest);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
