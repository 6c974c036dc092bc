import type { FastifyInstance } from 'fastify';
import type { AgentControl } from '../core/control.ts';
import { AgentError } from '../core/errors.ts';
import type { ApiSettings } from './server.ts';
import { parseRequest, slotParams, statusQuery } from './requests.ts';
import { toWire } from './wire.ts';

/** Status, slots and health: what is read and never asked for anything. */
export function addStatusRoutes(
  app: FastifyInstance,
  control: AgentControl,
  { startId, hostFacts }: Pick<ApiSettings, 'startId' | 'hostFacts'>,
): void {
  app.get('/v1/status', async (request, reply) => {
    const { wait } = parseRequest(statusQuery, request.query, 'query');
    const seen = versionOf(startId, request.headers['if-none-match']);
    if (wait > 0 && seen !== undefined) {
      await control.waitForChange(seen, wait * 1000, closedSignal(request.raw));
    }
    const version = control.statusVersion();
    void reply.header('etag', etagOf(startId, version)).header('cache-control', 'no-cache');
    if (seen === version) return reply.code(304).send();
    return { ...toWire(await control.status()), host: hostFacts() };
  });

  app.get('/v1/slots', async () => toWire((await control.status()).slots));

  app.get('/v1/slots/:slot', async (request) => {
    const { slot } = parseRequest(slotParams, request.params, 'path');
    const found = (await control.status()).slots.find(({ name }) => name === slot);
    if (found === undefined) {
      throw new AgentError(
        'slotd-unreachable',
        `cannot show slot ${slot}: the loader cannot be read now; see degraded in /v1/status`,
      );
    }
    return toWire(found);
  });

  app.get('/v1/health', async () => toWire(control.health()));
}

function etagOf(startId: string, version: number): string {
  return `W/"${startId}.${version}"`;
}

/** The version that `header` names, where this start of the agent gave it out: each start counts from one. */
function versionOf(startId: string, header: string | undefined): number | undefined {
  const match = /^(?:W\/)?"([a-z0-9-]{1,64})\.(\d{1,15})"$/.exec(header ?? '');
  return match?.[1] === startId ? Number(match[2]) : undefined;
}

/** Aborts when the caller is gone. */
export function closedSignal(raw: {
  once(event: 'close', listener: () => void): unknown;
  socket?: unknown;
}): AbortSignal {
  const closing = new AbortController();
  const { socket } = raw;
  const emitter = isEmitter(socket) ? socket : raw;
  emitter.once('close', () => {
    closing.abort();
  });
  return closing.signal;
}

function isEmitter(value: unknown): value is { once(event: 'close', listener: () => void): unknown } {
  return typeof value === 'object' && value !== null && 'once' in value;
}
