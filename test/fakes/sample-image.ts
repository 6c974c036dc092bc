import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mediaTypes } from '../../agent/core/image-format/manifest.ts';
import type { RegistryContent } from './registry-content.ts';

/** A manifest or index with the names it is stored under. */
export interface SampleManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: string;
  readonly names: readonly string[];
}

/** Content of a repository or layout. A digest may be wrong on purpose. */
export interface SampleContent {
  readonly manifests: readonly SampleManifest[];
  readonly blobs: readonly { readonly digest: string; readonly bytes: Buffer }[];
}

/** A small image. */
export interface SampleImage extends SampleContent {
  readonly manifest: SampleManifest;
  readonly configBytes: Buffer;
  readonly layer: { readonly digest: string; readonly sizeBytes: number; readonly bytes: Buffer };
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function toManifest(value: object, mediaType: string, names: readonly string[]): SampleManifest {
  const bytes = Buffer.from(JSON.stringify(value));
  return { bytes, mediaType, digest: sha256(bytes), names };
}

/** Repeatable bytes that differ from place to place. */
export function patternBytes(sizeBytes: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 4) bytes.writeUInt32LE((at * 2654435761 + seed) >>> 0, at);
  return bytes;
}

/** An image of one partition of `sizeBytes` (a multiple of 4), stored under `names`. */
export function sampleImage(names: readonly string[], sizeBytes = 4096, seed = 1): SampleImage {
  const layerBytes = patternBytes(sizeBytes, seed);
  const layer = { digest: sha256(layerBytes), sizeBytes, bytes: layerBytes };
  const configBytes = Buffer.from(
    JSON.stringify({
      formatVersion: 1,
      name: 'sample',
      version: `1.0.${seed}`,
      compatible: ['board-1'],
      partitions: [{ name: 'root', layer: layer.digest }],
    }),
  );
  const config = { mediaType: mediaTypes.kaonConfig, digest: sha256(configBytes), size: configBytes.byteLength };
  const value = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: mediaTypes.kaonArtifact,
    config,
    layers: [{ mediaType: mediaTypes.kaonPartition, digest: layer.digest, size: sizeBytes }],
  };
  const manifest = toManifest(value, mediaTypes.ociManifest, names);
  const blobs = [
    { digest: layer.digest, bytes: layerBytes },
    { digest: config.digest, bytes: configBytes },
  ];
  return { manifest, configBytes, layer, manifests: [manifest], blobs };
}

/** An index over `images`, one for each platform, stored under `names`. */
export function sampleIndex(
  images: readonly { readonly image: SampleManifest; readonly architecture: string }[],
  names: readonly string[],
): SampleManifest {
  const manifests = images.map(({ image, architecture }) => ({
    mediaType: image.mediaType,
    digest: image.digest,
    size: image.bytes.byteLength,
    platform: { os: 'linux', architecture },
  }));
  return toManifest({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }, mediaTypes.ociIndex, names);
}

/** cosign's object beside the image with `digest`; `layers` as they are given. */
export function signatureObject(
  digest: string,
  layers: readonly object[],
  payloads: readonly Buffer[],
): SampleContent & { readonly manifest: SampleManifest } {
  const config = Buffer.from('{}');
  const value = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.byteLength },
    layers,
  };
  const manifest = toManifest(value, mediaTypes.ociManifest, [`${digest.replace(':', '-')}.sig`]);
  const blobs = [config, ...payloads].map((bytes) => ({ digest: sha256(bytes), bytes }));
  return { manifest, manifests: [manifest], blobs };
}

/** The layer descriptor of one signature. */
export function signatureLayer(payload: Buffer, signature: string | undefined): object {
  return {
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    digest: sha256(payload),
    size: payload.byteLength,
    ...(signature === undefined ? {} : { annotations: { 'dev.cosignproject.cosign/signature': signature } }),
  };
}

/** The manifest around a bundle for the image `subject`, and the list of referrers that calls it `calledType`. */
export function bundleObject(
  subject: SampleManifest,
  bundles: readonly Uint8Array[],
  calledType: string | null = bundleType,
): SampleContent {
  const config = Buffer.from('{}');
  const empty = 'application/vnd.oci.empty.v1+json';
  const manifests = bundles.map((bundle) =>
    toManifest(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        artifactType: bundleType,
        config: { mediaType: empty, digest: sha256(config), size: 2 },
        layers: [{ mediaType: bundleType, digest: sha256(bundle), size: bundle.byteLength }],
        subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.byteLength },
      },
      mediaTypes.ociManifest,
      [],
    ),
  );
  const entries = manifests.map(({ mediaType, digest, bytes }) => ({
    mediaType,
    digest,
    size: bytes.byteLength,
    ...(calledType === null ? {} : { artifactType: calledType }),
  }));
  const list = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries };
  const index = toManifest(list, mediaTypes.ociIndex, [subject.digest.replace(':', '-')]);
  const blobs = [config, ...bundles].map((bytes) => ({ digest: sha256(bytes), bytes: Buffer.from(bytes) }));
  return { manifests: [...manifests, index], blobs };
}

const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** Puts `parts` into one repository of a registry. */
export function fillRegistry(content: RegistryContent, name: string, parts: readonly SampleContent[]): void {
  for (const { blobs, manifests } of parts) {
    for (const { digest, bytes } of blobs) content.putBlob(name, bytes, digest);
    for (const { bytes, mediaType, digest, names } of manifests) {
      for (const tag of [undefined, ...names]) content.putManifest(name, bytes, mediaType, tag, digest);
    }
  }
}

/** Writes `parts` as an OCI layout (image-spec, "OCI Image Layout"). */
export async function writeLayout(directory: string, parts: readonly SampleContent[]): Promise<void> {
  await mkdir(join(directory, 'blobs', 'sha256'), { recursive: true });
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const put = (digest: string, bytes: Buffer) => writeFile(join(directory, 'blobs', digest.replace(':', '/')), bytes);
  for (const { blobs, manifests } of parts) {
    for (const { digest, bytes } of [...blobs, ...manifests]) await put(digest, bytes);
  }
  const manifests = parts
    .flatMap((part) => part.manifests)
    .flatMap(({ bytes, digest, mediaType, names }) =>
      names.map((name) => ({
        mediaType,
        digest,
        size: bytes.byteLength,
        annotations: { 'org.opencontainers.image.ref.name': name },
      })),
    );
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
}
