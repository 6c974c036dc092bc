import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { pino } from 'pino';
import { readAgentVersion, readBuildTime } from './compose/agent-version.ts';
import { buildImageSources } from './compose/image-sources.ts';
import { kaondHelp, type KaondOptions, parseKaondOptions } from './compose/kaond-options.ts';
import { loadTriggerKeys, loadTrustPolicy } from './compose/load-trust.ts';
import { runAgent } from './compose/run-agent.ts';
import { runProgram } from './compose/run-program.ts';
import { loadConfig } from './config/load-config.ts';
import { errorTable, reportOf } from './core/errors.ts';
import { ProcessCommandRunner } from './host/process-command-runner.ts';
import { SystemClock } from './host/system-clock.ts';
import { SystemRandom } from './host/system-random.ts';
import { SlotdClient } from './slotd/client.ts';
import { socketConnector, SpawningConnector } from './slotd/connect-slotd.ts';
import { SystemdNotifier } from './systemd/notifier.ts';
import { trustTime } from './trust/trust-time.ts';

// Code that runs now and then costs 2 MiB as machine code; what runs often is still compiled, by V8's optimizer. Set
// once all is loaded: from then on V8 refuses what Node brings along compiled.
setFlagsFromString('--no-sparkplug');

const log = pino({ name: 'kaond', level: process.env['KAON_LOG_LEVEL'] ?? 'info' }, pino.destination(2));
const agentVersion = readAgentVersion(import.meta.url);
const builtAtMs = readBuildTime(import.meta.url);
/** `.ts` where the sources run, `.js` where they were built. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
const slotdEntry = fileURLToPath(new URL(`./kaon-slotd${extension}`, import.meta.url));
const workers = {
  factsWorker: new URL(`./host/system-facts-worker${extension}`, import.meta.url),
  readingsWorker: new URL(`./host/host-readings-worker${extension}`, import.meta.url),
};

async function checkConfig({ config, imageConfig }: KaondOptions): Promise<number> {
  try {
    const clock = new SystemClock();
    const found = await loadConfig({ mainFile: config, imageFile: imageConfig });
    await Promise.all([
      loadTrustPolicy(found.trust, () => trustTime(clock.nowMs(), { buildMs: builtAtMs, signedMs: undefined })),
      loadTriggerKeys(found.triggers),
      buildImageSources(found, clock, new SystemRandom()),
    ]);
    process.stdout.write(`${config}: the configuration, its keys and its certificates can be used\n`);
    return 0;
  } catch (error) {
    const { code, message } = reportOf(error);
    process.stderr.write(`kaond: ${message}\nfix: ${errorTable[code].fix} (${code})\n`);
    return errorTable[code].exitCode;
  }
}

async function serve(options: KaondOptions): Promise<number> {
  const { slotdSocket, spawnSlotd } = options;
  const spawning =
    spawnSlotd === undefined
      ? undefined
      : new SpawningConnector(slotdSocket, [process.execPath, slotdEntry, ...spawnSlotd]);
  const connect = spawning === undefined ? socketConnector(slotdSocket) : () => spawning.connect();
  const notifier = new SystemdNotifier({
    environment: process.env,
    processId: process.pid,
    commands: new ProcessCommandRunner(),
    onProblem: (message) => log.warn(message),
  });
  const stopping = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stopping.abort());
  const clock = new SystemClock();
  const around = {
    options,
    slots: new SlotdClient(connect),
    clock,
    log,
    notifier,
    agentVersion,
    builtAtMs,
    ...workers,
  };
  try {
    while ((await runAgent(around, stopping.signal)) === 'start-over') continue;
    return 0;
  } finally {
    await notifier.stopping();
    await spawning?.close();
  }
}

const exitCode = await runProgram({
  log,
  version: agentVersion,
  help: kaondHelp,
  parse: () => parseKaondOptions(process.argv.slice(2), process.env),
  run: (options) => (options.isCheckOnly ? checkConfig(options) : serve(options)),
});
process.exit(exitCode);
