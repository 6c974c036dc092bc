import { createServer, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { pino } from 'pino';
import { readAgentVersion, readBuildTime } from './compose/agent-version.ts';
import { buildSlotService } from './compose/build-slot-service.ts';
import { listenOnDemand } from './compose/listen-on-demand.ts';
import { loadNodeConfig } from './compose/load-node-config.ts';
import { runProgram } from './compose/run-program.ts';
import { parseSlotdOptions, slotdHelp, type SlotdOptions } from './compose/slotd-options.ts';
import { readKeyFile, readTrustedRootFile } from './config/load-config.ts';
import { AgentError, reportOf } from './core/errors.ts';
import type { SlotService } from './core/ports.ts';
import { SystemClock } from './host/system-clock.ts';
import { SlotdServer } from './slotd/server.ts';
import { threadFrameWorkers } from '../partitions/frames/thread-frame-workers.ts';

const log = pino({ name: 'kaon-slotd', level: process.env['KAON_LOG_LEVEL'] ?? 'info' }, pino.destination(2));
const agentVersion = readAgentVersion(import.meta.url);
/** Sources run as they are in development, compiled on a node. */
const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const frameWorker = new URL(`../partitions/frames/frame-worker${extension}`, import.meta.url);

/** How long a request that runs at the end may take to be answered, */
const answerLimitMs = 3_000;
/** and then, cut off, to end in order. */
const endLimitMs = 10_000;

/**
 * The service of one configuration. It is built anew when what it is made of changes: keys that were taken away must not
 * be trusted for as long as this process happens to live.
 */
function serviceFactory(options: SlotdOptions): () => Promise<SlotService> {
  const parts = {
    agentVersion,
    builtAtMs: readBuildTime(import.meta.url),
    // One core is left to what feeds them.
    startWorkers: threadFrameWorkers(frameWorker, availableParallelism() - 1),
    clock: new SystemClock(),
    onNote: (note: string) => log.info(note),
    onFault: (error: unknown) => log.warn({ err: error }, 'something is not as it should be, and the work goes on'),
  };
  let last: { readonly made: string; readonly service: SlotService } | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  const make = async (): Promise<SlotService> => {
    const files = { mainFile: options.config, imageFile: options.imageConfig };
    const { config, fault } = await loadNodeConfig(files, options.stateDir, agentVersion, (error) =>
      log.warn({ err: error }, 'cannot keep a copy of the configuration'),
    );
    if (config === undefined) {
      throw new AgentError(fault?.code ?? 'config-invalid', fault?.message ?? 'cannot read the configuration');
    }
    const { trustedRoot } = config.trust;
    const keys = await Promise.all([
      ...Object.values(config.trust.keys).map(({ file }) => contentOf(readKeyFile(file))),
      ...(trustedRoot === undefined ? [] : [contentOf(readTrustedRootFile(trustedRoot))]),
    ]);
    const made = JSON.stringify([config, fault?.message, keys]);
    if (last?.made !== made) {
      if (fault !== undefined) log.error({ code: fault.code }, `degraded: ${fault.message}`);
      last = { made, service: await buildSlotService(config, fault, options, parts) };
    }
    return last.service;
  };
  return () => {
    const made = turn.then(make);
    turn = made.catch(() => undefined);
    return made;
  };
}

/** What tells a file from its next version. */
async function contentOf(reading: Promise<Uint8Array>): Promise<string> {
  return reading.then(
    (bytes) => Buffer.from(bytes).toString('base64'),
    (error: unknown) => reportOf(error).code,
  );
}

/** Serves until it was idle for long enough or is told to end. */
async function serve(options: SlotdOptions): Promise<number> {
  const clock = new SystemClock();
  const slotd = new SlotdServer(
    serviceFactory(options),
    () => clock.monotonicMs(),
    (error) => log.error({ err: error }, 'a request failed for a reason that is a bug'),
  );
  const sockets = new Set<Socket>();
  const ended = new AbortController();
  let idleTimer: NodeJS.Timeout | undefined;
  const rest = () => {
    clearTimeout(idleTimer);
    if (sockets.size === 0) idleTimer = setTimeout(() => ended.abort(), options.idleMs);
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    rest();
    socket.once('close', () => {
      sockets.delete(socket);
      rest();
    });
    void slotd.serve(socket);
  });
  const closed = new Promise((resolve) => ended.signal.addEventListener('abort', resolve, { once: true }));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.abort());
  await listenOnDemand(server, options.listen, 'slotd');
  rest();
  await closed;
  clearTimeout(idleTimer);
  server.close();
  const isDoneWithin = async (limitMs: number): Promise<void> => {
    const endMs = clock.monotonicMs() + limitMs;
    while (slotd.active > 0 && clock.monotonicMs() < endMs) await clock.sleep(20, new AbortController().signal);
  };
  // Whoever asked for the reboot that ends us wants to hear that it was accepted.
  await isDoneWithin(answerLimitMs);
  // A write in progress ends with its connection; its first blocks are zeroed on the way out.
  for (const socket of sockets) socket.destroy();
  await isDoneWithin(endLimitMs);
  return 0;
}

const exitCode = await runProgram({
  log,
  version: agentVersion,
  help: slotdHelp,
  parse: () => parseSlotdOptions(process.argv.slice(2), process.env),
  run: serve,
});
process.exit(exitCode);
