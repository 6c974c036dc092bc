import { createHash, type Hash } from 'node:crypto';
import { digestBlocks } from '../block-index/block-digest.ts';
import { PartitionError } from '../errors.ts';
import type { FrameDecoder } from './frame-decoder.ts';

/** A frame in the memory that both sides share. */
export interface FrameInMemory {
  readonly inputAt: number;
  readonly inputBytes: number;
  readonly contentBytes: number;
}

/** Bytes in the shared memory. */
export interface MemorySpan {
  readonly at: number;
  readonly sizeBytes: number;
}

/** Work on the shared memory that a worker does. `digests` are SHA-256 of 32 bytes each, one after the other. */
export type FrameTask =
  /** Decodes frames to `outputAt`, one after the other; with `digests` each content must have its own. */
  | {
      readonly kind: 'decode';
      readonly frames: readonly FrameInMemory[];
      readonly outputAt: number;
      readonly digests?: Uint8Array;
    }
  /** Compares parts with `digests`; a part whose digest is all zero must be zeros. */
  | { readonly kind: 'check'; readonly parts: readonly MemorySpan[]; readonly digests: Uint8Array }
  /** Gives the digests of the blocks of `span`, as `digestBlocks` does. */
  | { readonly kind: 'digest-blocks'; readonly span: MemorySpan }
  /** Adds bytes to the digest `name`, which begins with the first of them; `isLast` ends it and answers with it. */
  | {
      readonly kind: 'hash';
      readonly name: string;
      readonly algorithm: 'sha256' | 'sha512';
      readonly span: MemorySpan;
      readonly isLast: boolean;
    };

/** What came of a task. */
export interface FrameAnswer {
  /** `decode`: whether all of the content is zeros. */
  readonly isZero?: boolean;
  /** `decode` and `check`: the first frame or part that does not have its digest. */
  readonly mismatch?: number;
  /** `hash`, the last one: the digest in hex. */
  readonly hex?: string;
  /** `digest-blocks`: the digests. */
  readonly blockDigests?: Uint8Array;
}

const digestBytes = 32;
const zeros = new Uint8Array(64 * 1024);

/** Whether `bytes` are all zero; ends at the first that is not. */
export function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.byteLength; at += zeros.byteLength) {
    const part = bytes.subarray(at, at + zeros.byteLength);
    if (Buffer.compare(part, zeros.subarray(0, part.byteLength)) !== 0) return false;
  }
  return true;
}

/** Does the tasks of one worker. Throws `layer-corrupt` for frames that do not decode. */
export class FrameTaskRunner {
  readonly #memory: Uint8Array;
  readonly #decoder: FrameDecoder;
  readonly #hashes = new Map<string, Hash>();

  constructor(memory: SharedArrayBuffer, decoder: FrameDecoder) {
    this.#memory = new Uint8Array(memory);
    this.#decoder = decoder;
  }

  run(task: FrameTask): FrameAnswer {
    switch (task.kind) {
      case 'decode':
        return this.#decode(task);
      case 'check':
        return this.#check(task);
      case 'digest-blocks':
        return { blockDigests: digestBlocks(this.#view(task.span)) };
      case 'hash':
        return this.#hash(task);
    }
  }

  #decode({ frames, outputAt, digests }: Extract<FrameTask, { kind: 'decode' }>): FrameAnswer {
    let at = outputAt;
    for (const [index, { inputAt, inputBytes, contentBytes }] of frames.entries()) {
      const output = this.#view({ at, sizeBytes: contentBytes });
      this.#decoder.decode(this.#view({ at: inputAt, sizeBytes: inputBytes }), output);
      if (digests !== undefined && !hasDigest(output, digests, index)) return { mismatch: index };
      at += contentBytes;
    }
    return { isZero: isZero(this.#memory.subarray(outputAt, at)) };
  }

  #check({ parts, digests }: Extract<FrameTask, { kind: 'check' }>): FrameAnswer {
    for (const [index, part] of parts.entries()) {
      const bytes = this.#view(part);
      const isMarkedZero = isZero(digests.subarray(index * digestBytes, (index + 1) * digestBytes));
      if (!(isMarkedZero ? isZero(bytes) : hasDigest(bytes, digests, index))) return { mismatch: index };
    }
    return {};
  }

  #hash({ name, algorithm, span, isLast }: Extract<FrameTask, { kind: 'hash' }>): FrameAnswer {
    const hash = this.#hashes.get(name) ?? createHash(algorithm);
    this.#hashes.set(name, hash);
    hash.update(this.#view(span));
    if (!isLast) return {};
    this.#hashes.delete(name);
    return { hex: hash.digest('hex') };
  }

  #view({ at, sizeBytes }: MemorySpan): Uint8Array {
    if (at < 0 || at + sizeBytes > this.#memory.byteLength) {
      throw new RangeError(`internal: cannot use ${sizeBytes} bytes at ${at} of the shared memory`);
    }
    return this.#memory.subarray(at, at + sizeBytes);
  }
}

function hasDigest(bytes: Uint8Array, digests: Uint8Array, index: number): boolean {
  const want = digests.subarray(index * digestBytes, (index + 1) * digestBytes);
  return Buffer.compare(createHash('sha256').update(bytes).digest(), want) === 0;
}

/** An error as it crosses between threads. */
export interface ThrownError {
  readonly code: PartitionError['code'] | undefined;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What of an error can be sent to another thread. */
export function packError(error: unknown): ThrownError {
  if (error instanceof PartitionError) return { code: error.code, message: error.message, details: error.details };
  return { code: undefined, message: error instanceof Error ? error.message : String(error), details: {} };
}

/** The error that was packed; one without a code is a bug. */
export function unpackError({ code, message, details }: ThrownError): Error {
  return code === undefined ? new Error(message) : new PartitionError(code, message, { details });
}
