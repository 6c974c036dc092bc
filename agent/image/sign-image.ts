import { AgentError } from '../core/errors.ts';
import { digestOf } from '../core/image-format/digest.ts';
import { mediaTypes } from '../core/image-format/manifest.ts';
import { formatReference, type Reference } from '../core/image-format/reference.ts';
import { Layout, layoutStore } from '../oci/layout.ts';
import { DirectoryFiles } from '../oci/layout-files.ts';
import { LayoutWriter } from '../oci/layout-writer.ts';
import type { RegistryPusher } from '../oci/registry-pusher.ts';
import { signatureTag } from '../oci/signature-store.ts';
import type { SigningKey } from './private-key.ts';
import { addSignature } from './signature-manifest.ts';

/** What was signed, and where the signature lies. */
export interface SignedResult {
  readonly digest: string;
  readonly tag: string;
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
): Promise<SignedResult> {
  const found = await pusher.manifest(reference.digest ?? reference.tag ?? 'latest', signal);
  if (found === undefined)
    throw new AgentError('image-not-found', `cannot sign ${formatReference(reference)}: the registry does not have it`);
  const digest = digestOf(found.bytes);
  requirePinned(reference, digest);
  const tag = tagOf(digest);
  const existing = await pusher.manifest(tag, signal);
  const { bytes, blobs } = addSignature(existing?.bytes, reference.repository, digest, key);
  for (const blob of blobs) {
    if (await pusher.hasBlob(blob.digest, signal)) continue;
    await pusher.uploadBlob(() => once(blob.bytes), blob.digest, blob.bytes.byteLength, signal);
  }
  await pusher.putManifest(tag, bytes, mediaTypes.ociManifest, signal);
  return { digest, tag, keyFingerprint: key.publicKey.fingerprint };
}

/** Signs an image in an OCI layout directory for the repository of `reference`. Rejects with the layout's codes. */
export async function signInLayout(
  directory: string,
  refName: string | undefined,
  reference: Reference,
  key: SigningKey,
  signal: AbortSignal,
): Promise<SignedResult> {
  const files = new DirectoryFiles(directory);
  const store = layoutStore(new Layout(files), refName);
  const digest = digestOf((await store.find(reference, signal)).bytes);
  requirePinned(reference, digest);
  const tag = tagOf(digest);
  const existing = await store.tagged(tag, signal);
  const { bytes, blobs } = addSignature(existing?.bytes, reference.repository, digest, key);
  const writer = await LayoutWriter.open(directory);
  for (const blob of blobs) await writer.writeBlob(blob.bytes);
  await writer.putManifest(bytes, mediaTypes.ociManifest, tag);
  return { digest, tag, keyFingerprint: key.publicKey.fingerprint };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
