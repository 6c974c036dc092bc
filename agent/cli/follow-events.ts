import { type EventAnswer, eventSchema } from './answers.ts';
import type { ApiClient } from './client.ts';
import { EventStreamParser } from './event-stream.ts';
import { CliError } from './exit-codes.ts';
import type { Io } from './io.ts';
import { failed, openAnswer, unreachable } from './socket-request.ts';
import { isLost } from './watch-update.ts';

/** Four heartbeats of the daemon. */
const silenceMs = 60_000;
const pageLimit = 1000;
const reconnectPauseMs = 1000;

/** Hears each event, and its JSON. */
export type OnEvent = (event: EventAnswer, raw: unknown) => void;

/**
 * Tells the events after `after`, and then those that come, until Ctrl-C; a lost connection is taken up after the last
 * event that was told. Rejects with the reason of Ctrl-C, with the codes of the API, and with `daemon-unreachable` when
 * kaond does not answer at the start.
 */
export async function followEvents(io: Io, api: ApiClient, after: number, onEvent: OnEvent): Promise<never> {
  let last = after;
  let wasReached = false;
  const tell: OnEvent = (event, raw) => {
    // Sequence 0 is an event that could not be stored: nobody can ask for it again.
    if (event.sequence !== 0 && event.sequence <= last) return;
    last = Math.max(last, event.sequence);
    onEvent(event, raw);
  };
  for (;;) {
    try {
      // By pages first: the stream replays a bounded number of old events.
      last = await catchUp(api, last, tell, () => last);
      wasReached = true;
      await readStream(io, api.socketPath, last, tell);
    } catch (error) {
      if (!wasReached || !isLost(error)) throw error;
    }
    await io.clock.sleep(reconnectPauseMs, io.interrupted);
  }
}

async function catchUp(api: ApiClient, after: number, tell: OnEvent, lastTold: () => number): Promise<number> {
  for (let from = after; ;) {
    const { value, raw } = await api.events(from, pageLimit);
    const raws: readonly unknown[] = Array.isArray(raw) ? raw : [];
    value.forEach((event, index) => tell(event, raws[index]));
    if (value.length < pageLimit || lastTold() === from) return lastTold();
    from = lastTold();
  }
}

/** Reads one connection's events to its end. */
async function readStream(io: Io, socketPath: string, after: number, tell: OnEvent): Promise<void> {
  const headers = { accept: 'text/event-stream', 'last-event-id': String(after) };
  const request = { method: 'GET', path: '/v1/events', headers } as const;
  const answer = await openAnswer(socketPath, request, io.interrupted);
  const type = answer.headers['content-type'] ?? '';
  if (answer.statusCode !== 200 || !type.startsWith('text/event-stream')) {
    answer.destroy();
    throw new CliError('internal', `cannot follow the events: kaond answers ${answer.statusCode ?? 0} and no stream`);
  }
  answer.setTimeout(silenceMs, () => answer.destroy(unreachable(socketPath, 'it went silent')));
  const parser = new EventStreamParser();
  try {
    for await (const piece of answer.setEncoding('utf8') as AsyncIterable<string>) {
      for (const { data } of parser.push(piece)) {
        const raw: unknown = JSON.parse(data);
        tell(eventSchema.parse(raw), raw);
      }
    }
  } catch (error) {
    if (isBadStream(error)) {
      throw new CliError('internal', `cannot read an event: ${error.message}`, {
        fix: 'Use the kaonctl of the version that kaond has.',
        cause: error,
      });
    }
    throw error instanceof CliError ? error : failed(socketPath, error, io.interrupted);
  }
}

function isBadStream(error: unknown): error is Error {
  return (
    error instanceof SyntaxError || error instanceof RangeError || (error instanceof Error && error.name === 'ZodError')
  );
}
