import { createServer, type Socket } from 'node:net';
import { pino } from 'pino';
import { CheckServer } from './checkd/server.ts';
import { readAgentVersion } from './compose/agent-version.ts';
import { checkHelp, type CheckOptions, parseCheckOptions } from './compose/check-options.ts';
import { listenOnDemand } from './compose/listen-on-demand.ts';
import { configuredChecks } from './compose/build-health.ts';
import { checkLoader } from './compose/load-checks.ts';
import { runProgram } from './compose/run-program.ts';
import { SystemHostProbe } from './host/host-readings.ts';
import { ProcessCommandRunner } from './host/process-command-runner.ts';
import { withoutServiceVariables } from './host/service-environment.ts';
import { SystemClock } from './host/system-clock.ts';

const log = pino({ name: 'kaon-check', level: process.env['KAON_LOG_LEVEL'] ?? 'info' }, pino.destination(2));
const agentVersion = readAgentVersion(import.meta.url);
/** `.ts` where the sources run, `.js` where they were built. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
const readingsWorker = new URL(`./host/host-readings-worker${extension}`, import.meta.url);

/** How long what runs at the end may take to be killed. */
const endLimitMs = 5_000;

/** Serves until it was idle for long enough or is told to end. What checks started ends with their connections. */
async function serve(options: CheckOptions): Promise<number> {
  const files = { mainFile: options.config, imageFile: options.imageConfig };
  const clock = new SystemClock();
  const commands = new ProcessCommandRunner(withoutServiceVariables(process.env));
  const ports = { commands, host: new SystemHostProbe(readingsWorker, commands) };
  const checks = new CheckServer(
    checkLoader(files, (settings) => configuredChecks(settings, ports, clock)),
    clock,
    (error) => log.error({ err: error }, 'a check failed for a reason that is a bug'),
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
    void checks.serve(socket);
  });
  const closed = new Promise((resolve) => ended.signal.addEventListener('abort', resolve, { once: true }));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.abort());
  await listenOnDemand(server, options.listen, 'check');
  rest();
  await closed;
  clearTimeout(idleTimer);
  server.close();
  for (const socket of sockets) socket.destroy();
  // What runs is killed with its connection; leaving at once would leave it behind.
  const endMs = clock.monotonicMs() + endLimitMs;
  while (checks.active > 0 && clock.monotonicMs() < endMs) await clock.sleep(20, new AbortController().signal);
  return 0;
}

const exitCode = await runProgram({
  log,
  version: agentVersion,
  help: checkHelp,
  parse: () => parseCheckOptions(process.argv.slice(2)),
  run: serve,
});
process.exit(exitCode);
