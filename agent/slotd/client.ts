import type { Duplex } from 'node:stream';
import { z } from 'zod';
import type {
  LayerSource,
  PartitionWays,
  PatchOffer,
  WriteProgress,
  WrittenSlot,
} from '../../partitions/slot-writer.ts';
import { AgentError, isErrorCode } from '../core/errors.ts';
import type { NodeBoot, RebootPurpose, SignedImage, SlotService } from '../core/ports.ts';
import type { SlotName } from '../core/update-state.ts';
import { Connection } from './connection.ts';
import {
  encodeSignedImage,
  errorOf,
  evidenceCharacters,
  maxPatches,
  parseAnswer,
  protocolVersion,
  type SlotdAnswer,
  type SlotdRequest,
} from './messages.ts';

/** Opens a connection to kaon-slotd. Rejects with `slotd-unreachable`. */
export type SlotdConnector = () => Promise<Duplex>;

type Request = SlotdRequest extends infer R ? (R extends SlotdRequest ? Omit<R, 'protocol'> : never) : never;

const slotState = z.object({ state: z.enum(['good', 'trial', 'unrenewed', 'bad']), triesLeft: z.int() });
const slotName = z.enum(['a', 'b']);
const errorReport = z
  .object({ code: z.string(), message: z.string() })
  .transform(({ code, message }) => ({ code: isErrorCode(code) ? code : ('internal' as const), message }));
const nodeBoot = z.object({
  booted: slotName,
  boot: z.object({
    primary: slotName.optional(),
    trial: slotName.optional(),
    trialTries: z.int(),
    slots: z.object({ a: slotState, b: slotState }),
    isUntidy: z.boolean().optional(),
    notes: z.array(z.string()).optional(),
  }),
  maxTries: z.int(),
  isArmedAtReboot: z.boolean().optional(),
  countsProven: z.boolean().optional(),
  isLoaderTestable: z.boolean().optional(),
  followed: z.string().optional(),
  partitionSizes: z.object({ a: z.record(z.string(), z.number()), b: z.record(z.string(), z.number()) }),
  payloads: z.union([errorReport, z.object({ availableBytes: z.number(), clusterBytes: z.number() })]).optional(),
  unreadable: z.object({ a: errorReport.optional(), b: errorReport.optional() }).optional(),
  faults: z.array(errorReport).optional(),
});
const writtenSlot = z.object({
  manifestDigest: z.string(),
  partitions: z.array(z.object({ name: z.string(), sizeBytes: z.number(), digest: z.string() })),
});

const partitionWays = z.array(
  z.object({
    name: z.string(),
    fullBytes: z.number(),
    indexBytes: z.number().optional(),
    patchBytes: z.number().optional(),
    way: z.enum(['full', 'index', 'patch']),
  }),
);

function imageOf(signed: SignedImage, patches: readonly PatchOffer[]) {
  return { image: encodeSignedImage(signed), patches: patches.slice(0, maxPatches) };
}

/** kaon-slotd over its socket, one connection a request. */
export class SlotdClient implements SlotService {
  readonly #connect: SlotdConnector;

  constructor(connect: SlotdConnector) {
    this.#connect = connect;
  }

  async readNode(): Promise<NodeBoot> {
    const { boot, ...node } = nodeBoot.parse(await this.#ask({ method: 'read-node' }));
    return { ...node, boot: { ...boot, primary: boot.primary, trial: boot.trial } };
  }

  async repairLoader(isOtherGood: boolean): Promise<boolean> {
    return z.boolean().parse(await this.#ask({ method: 'repair-loader', isOtherGood }));
  }

  async writeSlot(
    slot: SlotName,
    signed: SignedImage,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
    patches: readonly PatchOffer[] = [],
  ): Promise<WrittenSlot> {
    const request = { method: 'write-slot', slot, ...imageOf(signed, patches) } as const;
    return writtenSlot.parse(await this.#askWithLayers(request, layers, onProgress, signal));
  }

  async estimateWrite(
    slot: SlotName,
    signed: SignedImage,
    layers: LayerSource,
    signal: AbortSignal,
    patches: readonly PatchOffer[],
  ): Promise<readonly PartitionWays[]> {
    const request = { method: 'estimate-write', slot, ...imageOf(signed, patches) } as const;
    return partitionWays.parse(await this.#askWithLayers(request, layers, () => undefined, signal));
  }

  /** Asks, and sends the layers that are wanted for the answer. */
  async #askWithLayers(
    request: Request,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    let sourceFailure: { readonly error: unknown } | undefined;
    const handle = async (answer: SlotdAnswer, connection: Connection): Promise<void> => {
      if (answer.type === 'progress') onProgress(answer.progress);
      if (answer.type !== 'want-layer') return;
      sourceFailure = await sendLayer(connection, () => layers(answer.digest, answer.ranges));
    };
    try {
      return await this.#ask(request, handle, signal);
    } catch (error) {
      // What the source said is the reason; that slotd then missed bytes is only its consequence.
      throw sourceFailure === undefined ? error : sourceFailure.error;
    }
  }

  async activate(slot: SlotName, tries: number, digest: string | undefined): Promise<void> {
    await this.#ask({ method: 'activate', slot, tries, ...(digest === undefined ? {} : { digest }) });
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#ask({ method: 'mark-good', slot });
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#ask({ method: 'mark-bad', slot });
  }

  async reboot(purpose?: RebootPurpose): Promise<void> {
    await this.#ask({ method: 'reboot', ...(purpose === undefined ? {} : { purpose }) });
  }

  async armLoaderTest(): Promise<void> {
    await this.#ask({ method: 'arm-loader-test' });
  }

  async readLoaderTest(): Promise<boolean | undefined> {
    const result = z
      .boolean()
      .nullable()
      .parse(await this.#ask({ method: 'read-loader-test' }));
    return result ?? undefined;
  }

  async clearLoaderTest(): Promise<void> {
    await this.#ask({ method: 'clear-loader-test' });
  }

  async keepEvidence(text: string): Promise<boolean> {
    const sent = text.slice(0, evidenceCharacters);
    return z.boolean().parse(await this.#ask({ method: 'keep-evidence', text: sent }));
  }

  async #ask(
    request: Request,
    handle: (answer: SlotdAnswer, connection: Connection) => Promise<void> = async () => undefined,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const connection = new Connection(await this.#connect());
    const onAbort = () => connection.destroy();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      signal?.throwIfAborted();
      await connection.send({ protocol: protocolVersion, ...request });
      return await readResult(request.method, connection, handle);
    } catch (error) {
      signal?.throwIfAborted();
      throw isSocketError(error) ? unreachable(request.method, error) : error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      connection.destroy();
    }
  }
}

async function readResult(
  method: string,
  connection: Connection,
  handle: (answer: SlotdAnswer, connection: Connection) => Promise<void>,
): Promise<unknown> {
  const running: Promise<void>[] = [];
  for (;;) {
    const frame = await connection.next();
    if (frame === undefined) throw unreachable(method, undefined);
    if (frame.kind === 'data')
      throw new AgentError('slotd-protocol-invalid', 'cannot read the answer of kaon-slotd: it sent layer bytes');
    const answer = parseAnswer(frame.value);
    if (answer.type === 'result' || answer.type === 'error') {
      // A source that fails makes slotd fail: hear the source's word before judging the answer.
      if (answer.type === 'error') {
        connection.destroy();
        await Promise.allSettled(running);
        throw errorOf(answer);
      }
      return answer.value;
    }
    // Layers are sent while progress goes on being read.
    running.push(handle(answer, connection));
  }
}

/** Sends a layer; resolves to the failure of its source, which slotd is told of. */
async function sendLayer(
  connection: Connection,
  open: () => AsyncIterable<Uint8Array>,
): Promise<{ readonly error: unknown } | undefined> {
  try {
    for await (const bytes of open()) {
      await connection.sendData(bytes);
      if (connection.closed.aborted) return undefined;
    }
    await connection.send({ type: 'layer-end' });
    return undefined;
  } catch (error) {
    await connection.send({ type: 'layer-failed' });
    return { error };
  }
}

function isSocketError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}

function unreachable(method: string, cause: unknown): AgentError {
  return new AgentError('slotd-unreachable', `cannot ${method}: kaon-slotd ended the connection without an answer`, {
    cause,
  });
}
