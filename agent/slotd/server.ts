import type { Duplex } from 'node:stream';
import { AgentError, type ErrorReport, reportOf } from '../core/errors.ts';
import type { SlotService } from '../core/ports.ts';
import { Connection } from './connection.ts';
import { LayerReceiver } from './layer-receiver.ts';
import { decodeSignedImage, parseRequest, type SlotdRequest } from './messages.ts';

const progressEveryMs = 200;

/** Answers one request a connection. */
export class SlotdServer {
  readonly #service: () => Promise<SlotService>;
  readonly #monotonicMs: () => number;
  readonly #onFault: (error: unknown) => void;
  #active = 0;

  /** `service` rejects with why nothing can be done, which each request is answered with. */
  constructor(service: () => Promise<SlotService>, monotonicMs: () => number, onFault: (error: unknown) => void) {
    this.#service = service;
    this.#monotonicMs = monotonicMs;
    this.#onFault = onFault;
  }

  /** How many requests are being answered. */
  get active(): number {
    return this.#active;
  }

  /** Reads the request of `stream`, answers it and ends the stream. Never rejects. */
  async serve(stream: Duplex): Promise<void> {
    this.#active += 1;
    const connection = new Connection(stream);
    try {
      const frame = await connection.next();
      if (frame === undefined) return;
      if (frame.kind !== 'message')
        throw new AgentError('slotd-protocol-invalid', 'cannot take the request: layer bytes came before it');
      const value = await this.#answer(await this.#service(), parseRequest(frame.value), connection);
      await connection.send({ type: 'result', value: value ?? null });
    } catch (error) {
      const report: ErrorReport = reportOf(error);
      if (report.code === 'internal') this.#onFault(error);
      await connection.send({ type: 'error', ...report, details: detailsOf(error) });
    } finally {
      connection.end();
      this.#active -= 1;
    }
  }

  async #answer(service: SlotService, request: SlotdRequest, connection: Connection): Promise<unknown> {
    switch (request.method) {
      case 'read-node':
        return service.readNode();
      case 'repair-loader':
        return service.repairLoader(request.isOtherGood);
      case 'write-slot':
        return this.#writeSlot(service, request, connection);
      case 'estimate-write': {
        const { slot, image, patches } = request;
        const { source } = new LayerReceiver(connection);
        return service.estimateWrite(slot, decodeSignedImage(image), source, connection.closed, patches);
      }
      case 'activate':
        return service.activate(request.slot, request.tries, request.digest);
      case 'mark-good':
        return service.markGood(request.slot);
      case 'mark-bad':
        return service.markBad(request.slot);
      case 'reboot':
        return service.reboot(request.purpose);
      case 'arm-loader-test':
        return service.armLoaderTest();
      case 'read-loader-test':
        return service.readLoaderTest();
      case 'clear-loader-test':
        return service.clearLoaderTest();
      case 'keep-evidence':
        return service.keepEvidence(request.text);
    }
  }

  async #writeSlot(
    service: SlotService,
    request: Extract<SlotdRequest, { method: 'write-slot' }>,
    connection: Connection,
  ): Promise<unknown> {
    let lastMs = Number.NEGATIVE_INFINITY;
    let lastStep = '';
    let lastDurableBytes: number | undefined;
    let isPlanTold = false;
    const receiver = new LayerReceiver(connection);
    return service.writeSlot(
      request.slot,
      decodeSignedImage(request.image),
      receiver.source,
      (progress) => {
        const now = this.#monotonicMs();
        // What became durable decides over another attempt, what is missing over a metered link: neither is left out.
        const isDue =
          progress.durableBytes !== lastDurableBytes || (!isPlanTold && progress.missingBytes !== undefined);
        if (!isDue && progress.step === lastStep && now - lastMs < progressEveryMs) return;
        lastDurableBytes = progress.durableBytes;
        isPlanTold ||= progress.missingBytes !== undefined;
        lastMs = now;
        lastStep = progress.step;
        connection.sendIfRoom({ type: 'progress', progress });
      },
      connection.closed,
      request.patches,
    );
  }
}

function detailsOf(error: unknown): unknown {
  return error instanceof Error && 'details' in error ? error.details : {};
}
