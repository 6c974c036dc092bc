import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AgentControl } from '../core/control.ts';
import type { EventRecord } from '../core/ports.ts';
import { eventsQuery, parseRequest } from './requests.ts';
import { toWire } from './wire.ts';

const heartbeatMs = 15_000;
const maxUnsentBytes = 256 * 1024;
const replayPage = 200;
const earlyLimit = 1000;

/** `GET /v1/events`: a page of JSON, or a stream of server-sent events for whoever accepts one. */
export function addEventRoutes(app: FastifyInstance, control: AgentControl): void {
  app.get('/v1/events', async (request, reply) => {
    const { limit, after } = parseRequest(eventsQuery, request.query, 'query');
    if (!wantsStream(request)) return toWire(await control.events(after, limit));
    const last = Number(request.headers['last-event-id'] ?? after);
    reply.hijack();
    await streamEvents(control, reply.raw, Number.isSafeInteger(last) ? last : 0);
    return reply;
  });
}

function wantsStream(request: FastifyRequest): boolean {
  return (request.headers.accept ?? '').includes('text/event-stream');
}

async function streamEvents(control: AgentControl, response: ServerResponse, after: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  let last = after;
  const early: EventRecord[] = [];
  let isReplayed = false;
  const send = (event: EventRecord) => {
    // Sequence 0: it could not be stored, and is told all the same.
    if (event.sequence !== 0 && event.sequence <= last) return;
    last = Math.max(last, event.sequence);
    // A reader that does not keep up is cut off; it comes back with the last id that it saw.
    if (response.writableLength > maxUnsentBytes) response.destroy();
    else response.write(`id: ${event.sequence}\nevent: ${event.kind}\ndata: ${JSON.stringify(toWire(event))}\n\n`);
  };
  // Listening begins before the replay, so that no event falls between them.
  const stop = control.onEvent((event) => {
    if (isReplayed) send(event);
    // Too many to keep while it replays: the reader comes back with the last id that it saw.
    else if (early.push(event) > earlyLimit) response.destroy();
  });
  const heartbeat = setInterval(() => response.write(': alive\n\n'), heartbeatMs);
  response.once('close', () => {
    stop();
    clearInterval(heartbeat);
  });
  response.write(': events follow\n\n');
  for (let isMore = true; isMore && !response.destroyed;) {
    const page = await control.events(last, replayPage);
    page.forEach(send);
    isMore = page.length === replayPage;
    await drained(response);
  }
  isReplayed = true;
  early.forEach(send);
}

/** Resolves once the reader took what was written, or is gone. */
async function drained(response: ServerResponse): Promise<void> {
  if (!response.writableNeedDrain || response.destroyed) return;
  await new Promise<void>((resolve) => {
    response.once('drain', resolve);
    response.once('close', resolve);
  });
}
