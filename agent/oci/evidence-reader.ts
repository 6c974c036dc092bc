import { AgentError } from '../core/errors.ts';
import { evidenceLimits } from '../core/image-source.ts';
import { type ImageStore, verifyDigest } from './image-store.ts';

/** What is wrong with the content, as opposed to with reaching it. */
function isContentProblem(error: unknown): error is AgentError {
  return (
    error instanceof AgentError && ['manifest-invalid', 'digest-mismatch', 'response-too-large'].includes(error.code)
  );
}

/** The part of a store that holds what lies beside images. */
export type BesideStore = Pick<ImageStore, 'location' | 'manifest' | 'tagged' | 'blob' | 'referrers'>;

/** Reads small things beside one image, within what may be carried of them, and remembers what was malformed. */
export class EvidenceReader {
  readonly store: BesideStore;
  readonly signal: AbortSignal;
  readonly problems: AgentError[] = [];
  #remainingBytes: number = evidenceLimits.totalBytes;

  constructor(store: BesideStore, signal: AbortSignal) {
    this.store = store;
    this.signal = signal;
  }

  /** Performs `action`; what is malformed becomes a problem. Rejects with what keeps the store from answering. */
  async attempt(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!isContentProblem(error)) throw error;
      this.problems.push(error);
    }
  }

  /** Counts `sizeBytes` of what `source` carries. Throws `response-too-large` where all of it is more than may be carried. */
  charge(sizeBytes: number, source: string): void {
    if (sizeBytes > this.#remainingBytes) {
      throw new AgentError(
        'response-too-large',
        `cannot read ${source}: all that lies beside the image has more than ${evidenceLimits.totalBytes} bytes`,
        { details: { limitBytes: evidenceLimits.totalBytes } },
      );
    }
    this.#remainingBytes -= sizeBytes;
  }

  /** The bytes of a blob of `sizeBytes`. Rejects with `manifest-invalid`, `digest-mismatch`, `response-too-large`. */
  async blob(digest: string, sizeBytes: number, source: string): Promise<Uint8Array> {
    this.charge(sizeBytes, source);
    const bytes = await this.store.blob(digest, evidenceLimits.itemBytes, this.signal);
    if (bytes === undefined) throw new AgentError('manifest-invalid', `cannot read ${source}: its payload is missing`);
    verifyDigest(bytes, digest, source);
    if (bytes.byteLength !== sizeBytes) {
      throw new AgentError(
        'manifest-invalid',
        `cannot read ${source}: it has ${bytes.byteLength} bytes, not ${sizeBytes}`,
      );
    }
    return bytes;
  }
}
