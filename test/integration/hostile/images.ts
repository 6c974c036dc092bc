import { createHash } from 'node:crypto';
import { mediaTypes } from '../../../agent/core/image-format/manifest.ts';
import { indexedLayer, type IndexedLayer } from '../../fakes/indexed-layer.ts';
import {
  fillRegistry,
  patternBytes,
  type SampleContent,
  type SampleManifest,
  sha256,
  signatureLayer,
  signatureObject,
} from '../../fakes/sample-image.ts';
import { simpleSigningPayload, type TestSigner } from '../../fakes/signer.ts';
import type { Victim } from './victim.ts';

/** The image of an attack: sound unless something is changed, and signed as it then is. */
export interface Draft {
  readonly seed?: number;
  /** What the layer holds, and how; the content as it is unless given. */
  readonly layer?: Buffer;
  readonly encoding?: 'raw' | 'zstd' | 'gzip';
  /** What is signed of the content's size and digest. */
  readonly stated?: 'as-it-is' | 'nothing' | { readonly digest: string; readonly sizeBytes: number };
  readonly indexed?: Pick<IndexedLayer, 'bytes' | 'indexBytes' | 'signed'>;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly configText?: (text: string) => string;
  readonly manifest?: (manifest: ManifestJson) => object;
  readonly manifestText?: (text: string) => string;
  readonly manifestBytes?: (bytes: Buffer) => Buffer;
}

/** A manifest, as much of it as attacks change. */
export interface ManifestJson {
  readonly config: { readonly digest: string; readonly size: number };
  readonly layers: readonly { readonly mediaType: string; readonly digest: string; readonly size: number }[];
}

/** An image, and what it is to hold. */
export interface Crafted extends SampleContent {
  readonly manifest: SampleManifest;
  readonly configDigest: string;
  readonly layer: { readonly digest: string; readonly bytes: Buffer };
  readonly content: Buffer;
}

export const contentBytes = 64 * 1024;

const same = (text: string) => text;

export function craft(draft: Draft = {}, tag = 'v1'): Crafted {
  const content = draft.indexed === undefined ? patternBytes(contentBytes, draft.seed ?? 1) : Buffer.alloc(0);
  const bytes = Buffer.from(draft.indexed?.bytes ?? draft.layer ?? content);
  const encoding = draft.indexed === undefined ? (draft.encoding ?? 'raw') : 'zstd';
  const mediaType = `${mediaTypes.kaonPartition}${encoding === 'raw' ? '' : `+${encoding}`}`;
  const layers = [{ mediaType, digest: sha256(bytes), size: bytes.byteLength }];
  const blobs = [{ digest: sha256(bytes), bytes }];
  const partition: Record<string, unknown> = { name: 'root', layer: sha256(bytes), ...statedOf(draft, content) };
  if (draft.indexed !== undefined) {
    const indexBytes = Buffer.from(draft.indexed.indexBytes);
    const { headSizeBytes, headDigest } = draft.indexed.signed.index;
    partition['index'] = { layer: sha256(indexBytes), headSizeBytes, headDigest };
    layers.push({ mediaType: mediaTypes.kaonBlockIndex, digest: sha256(indexBytes), size: indexBytes.byteLength });
    blobs.push({ digest: sha256(indexBytes), bytes: indexBytes });
  }
  const config = { formatVersion: 1, name: 'edge', version: '2', compatible: ['board-1'], rollbackIndex: 5 };
  const configText = (draft.configText ?? same)(
    JSON.stringify({ ...config, partitions: [partition], ...draft.config }),
  );
  const configBytes = Buffer.from(configText);
  blobs.push({ digest: sha256(configBytes), bytes: configBytes });
  const value = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: mediaTypes.kaonArtifact,
    config: { mediaType: mediaTypes.kaonConfig, digest: sha256(configBytes), size: configBytes.byteLength },
    layers,
  };
  const text = (draft.manifestText ?? same)(JSON.stringify((draft.manifest ?? ((each) => each))(value)));
  const bytesOf = draft.manifestBytes ?? ((each: Buffer) => each);
  const manifest = asManifest(bytesOf(Buffer.from(text)), [tag]);
  const layer = { digest: sha256(bytes), bytes };
  return { manifest, configDigest: sha256(configBytes), layer, content, manifests: [manifest], blobs };
}

function statedOf({ stated = 'as-it-is', indexed }: Draft, content: Buffer): object {
  if (indexed !== undefined) {
    return { digest: indexed.signed.contentDigest, sizeBytes: indexed.signed.contentSizeBytes };
  }
  if (stated === 'nothing') return {};
  return stated === 'as-it-is' ? { digest: sha256(content), sizeBytes: content.byteLength } : stated;
}

export function asManifest(bytes: Buffer, names: readonly string[], mediaType?: string): SampleManifest {
  return { bytes, mediaType: mediaType ?? mediaTypes.ociManifest, digest: sha256(bytes), names };
}

/** Puts a signature beside what has `digest`; it is for `signedDigest`. */
export function sign(victim: Victim, repository: string, digest: string, signer: TestSigner, signed = digest): void {
  const payload = simpleSigningPayload(signed);
  putSignature(victim, repository, digest, payload, signer.sign(payload).toString('base64'));
}

/** Puts `signature`, whatever it is, beside what has `digest`. */
export function putSignature(
  victim: Victim,
  repository: string,
  digest: string,
  payload: Buffer,
  signature: string,
): void {
  fillRegistry(victim.registry.content, repository, [
    signatureObject(digest, [signatureLayer(payload, signature)], [payload]),
  ]);
}

/** Pushes an image with a good signature; its reference. */
export function offer(
  victim: Victim,
  crafted: Crafted,
  repository = 'os/edge',
  signer = victim.signers.release,
): string {
  fillRegistry(victim.registry.content, repository, [crafted]);
  sign(victim, repository, crafted.manifest.digest, signer);
  return `${victim.host}/${repository}:${crafted.manifest.names[0] ?? ''}`;
}

/** Content of eight frames, with its block index. */
export function indexed(seed = 9): IndexedLayer {
  return indexedLayer('root', patternBytes(contentBytes, seed), [8192]);
}

/** The index with its bytes changed, and everything that is signed of it made right again. */
export function resigned(layer: IndexedLayer, change: (index: Buffer, headBytes: number) => void): IndexedLayer {
  const { headSizeBytes } = layer.signed.index;
  const indexBytes = Buffer.from(layer.indexBytes);
  change(indexBytes, headSizeBytes);
  const headDigest = sha256(indexBytes.subarray(0, headSizeBytes));
  const index = { ...layer.signed.index, layerDigest: sha256(indexBytes), headDigest };
  return { ...layer, indexBytes, signed: { ...layer.signed, index } };
}

/** Changes the entries of the one group of an index, and their digest in its head. */
export function changeEntries(index: Buffer, headBytes: number, change: (entries: Buffer) => void): void {
  const segments = index.readUInt32LE(52);
  const entriesBytes = index.readUInt16LE(72);
  const entries = index.subarray(headBytes, headBytes + entriesBytes);
  change(entries);
  createHash('sha256')
    .update(entries)
    .digest()
    .copy(index, 64 + 10 + 2 * segments);
}
