import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import { formatReference, parseReference } from '../core/image-format/reference.ts';
import type { SignatureEvidence, SignedImage } from '../core/ports.ts';
import type { KeptSigned, SignedImages } from '../core/signed-images.ts';
import type { SlotName } from '../core/update-state.ts';
import { replaceFile } from './replace-file.ts';

/** More than an image has that is not made to have more: those are not kept. */
const limitBytes = 8 * 1024 * 1024;

const bytes = z.base64().transform((text) => new Uint8Array(Buffer.from(text, 'base64')));
const text = z.string();
// Evidence of a kind that a newer agent knows is passed over: the policy of this one can't judge it.
const evidence = z.union([
  z.object({
    payload: bytes,
    signature: text,
    attested: z
      .object({ certificate: z.exactOptional(text), logEntry: z.exactOptional(text), timestamp: z.exactOptional(text) })
      .optional(),
    source: text,
  }),
  z.object({ bundle: bytes, source: text }),
  z.object({ envelope: bytes, source: text }),
  z.unknown().transform(() => undefined),
]);
const fileSchema = z.object({
  formatVersion: z.number(),
  judgedAtMs: z.number(),
  reference: text,
  resolvedDigest: text,
  index: bytes.optional(),
  manifestDigest: text,
  manifest: bytes,
  config: bytes,
  signatures: z.array(evidence),
});

/** What the images in the slots were trusted by, a JSON file a slot. `save` rejects with `journal-failed`. */
export class SignedImageFiles implements SignedImages {
  readonly #directory: string;
  readonly #nowMs: () => number;

  /** `nowMs` is the time that trust decisions go by. */
  constructor(directory: string, nowMs: () => number) {
    this.#directory = directory;
    this.#nowMs = nowMs;
  }

  async save(slot: SlotName, { image, signatures }: SignedImage): Promise<void> {
    const document = JSON.stringify({
      formatVersion: 1,
      judgedAtMs: this.#nowMs(),
      reference: formatReference(image.reference),
      resolvedDigest: image.resolvedDigest,
      index: image.indexBytes && base64(image.indexBytes),
      manifestDigest: image.manifestDigest,
      manifest: base64(image.manifestBytes),
      config: base64(image.configBytes),
      signatures: signatures.map(encodeEvidence),
    });
    const path = this.#path(slot);
    try {
      if (document.length > limitBytes) throw new Error(`it has ${document.length} bytes, the limit is ${limitBytes}`);
      await replaceFile(path, document);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new AgentError('journal-failed', `cannot keep what slot ${slot} is trusted by at ${path}: ${reason}`, {
        details: { path },
        cause,
      });
    }
  }

  async load(slot: SlotName): Promise<KeptSigned | undefined> {
    const path = this.#path(slot);
    try {
      if ((await stat(path)).size > limitBytes) return undefined;
      const kept = fileSchema.parse(JSON.parse(await readFile(path, 'utf8')));
      const image = {
        reference: parseReference(kept.reference),
        resolvedDigest: kept.resolvedDigest,
        indexBytes: kept.index,
        manifestDigest: kept.manifestDigest,
        manifestBytes: kept.manifest,
        configBytes: kept.config,
      };
      const signatures = kept.signatures.flatMap((one) => (one === undefined ? [] : [withoutAbsent(one)]));
      return { signed: { image, signatures }, judgedAtMs: kept.judgedAtMs };
    } catch {
      return undefined;
    }
  }

  #path(slot: SlotName): string {
    return join(this.#directory, `signed-${slot}.json`);
  }
}

function base64(content: Uint8Array): string {
  return Buffer.from(content).toString('base64');
}

function encodeEvidence(found: SignatureEvidence): object {
  if ('bundle' in found) return { ...found, bundle: base64(found.bundle) };
  if ('envelope' in found) return { ...found, envelope: base64(found.envelope) };
  return { ...found, payload: base64(found.payload) };
}

type Parsed = NonNullable<z.infer<typeof evidence>>;

/** Absent fields are absent, not `undefined`. */
function withoutAbsent(found: Parsed): SignatureEvidence {
  if (!('payload' in found)) return found;
  const { attested, ...rest } = found;
  return attested === undefined ? rest : { ...rest, attested };
}
