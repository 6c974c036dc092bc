import { readFile, stat, statfs } from 'node:fs/promises';
import type { FileFault, InspectNode, NodeInspection, UnitView } from '../cli/node-inspection.ts';
import type { KaonConfig } from '../config/config.ts';
import { imageConfigFile } from '../config/config-files.ts';
import { loadConfig } from '../config/load-config.ts';
import { AgentError, reportOf } from '../core/errors.ts';
import type { Clock, Random, RegistryReach } from '../core/ports.ts';
import { parseSynchronised } from '../host/host-readings.ts';
import type { ProcessCommandRunner } from '../host/process-command-runner.ts';
import { trustTime } from '../trust/trust-time.ts';
import { buildImageSources } from './image-sources.ts';
import { loadTriggerKeys, loadTrustPolicy } from './load-trust.ts';
import { probeImage } from './registry-probe.ts';

/** What the node is looked at with. */
export interface InspectionPorts {
  readonly commands: Pick<ProcessCommandRunner, 'run'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly imageConfigFile?: string;
}

const unitNames = [
  'kaond.service',
  'kaon-slotd.socket',
  'kaon-check.socket',
  'kaon-trial-guard.timer',
  'kaon-health.service',
];
const unitProperties = 'Id,LoadState,ActiveState,UnitFileState,Result';
const registryLimitMs = 20_000;

/** Looks at the node as the user that runs it may: what is denied is said, not hidden. */
export function nodeInspector(ports: InspectionPorts): InspectNode {
  return async ({ configFile, image }, signal) => {
    const { commands } = ports;
    const config = await loadConfig({
      mainFile: configFile,
      imageFile: ports.imageConfigFile ?? imageConfigFile,
    }).catch(faultOf);
    const loaded = 'code' in config ? undefined : config;
    const [units, watchdog, clock, stateDir, registry] = await Promise.all([
      commands.run(['systemctl', 'show', `--property=${unitProperties}`, '--', ...unitNames], signal),
      commands.run(['systemctl', 'show', '--property=RuntimeWatchdogUSec', '--value'], signal),
      commands.run(['timedatectl', 'show', '--property=NTPSynchronized', '--value'], signal),
      roomIn(loaded?.stateDir ?? '/var/lib/kaon'),
      image === undefined || loaded === undefined ? undefined : askRegistry(loaded, image, ports, signal),
    ]);
    signal.throwIfAborted();
    return {
      configFile,
      config,
      fileFaults: loaded === undefined ? [] : await fileFaults(loaded, ports),
      units: units.exitCode === 0 ? parseUnitViews(units.output) : undefined,
      runtimeWatchdog: watchdog.exitCode === 0 ? watchdog.output.trim() : undefined,
      hasWatchdogDevice: await isThere('/dev/watchdog'),
      panicSeconds: await panicSeconds(),
      stateDir,
      timeSynchronised: parseSynchronised(clock),
      registry,
    };
  };
}

/** Reads the blocks that `systemctl show` prints, one a unit. */
export function parseUnitViews(text: string): readonly UnitView[] {
  return text
    .split(/\n\s*\n/)
    .map((block) => new Map(block.split('\n').map((line) => [line.slice(0, line.indexOf('=')), valueOf(line)])))
    .filter((found) => found.has('Id'))
    .map((found) => ({
      name: found.get('Id') ?? '',
      loadState: found.get('LoadState') ?? '',
      activeState: found.get('ActiveState') ?? '',
      fileState: found.get('UnitFileState') ?? '',
      result: found.get('Result') ?? '',
    }));
}

function valueOf(line: string): string {
  return line.slice(line.indexOf('=') + 1).trim();
}

/** Keys, credentials and certificates, read as kaond reads them at its start. */
async function fileFaults(config: KaonConfig, { clock, random }: InspectionPorts): Promise<readonly FileFault[]> {
  const readings = [
    loadTrustPolicy(config.trust, () => trustTime(clock.nowMs(), { buildMs: undefined, signedMs: undefined })),
    loadTriggerKeys(config.triggers),
    buildImageSources(config, clock, random),
  ];
  const results = await Promise.allSettled(readings);
  return results.flatMap((result) => (result.status === 'rejected' ? [faultOf(result.reason)] : []));
}

async function askRegistry(
  config: KaonConfig,
  image: string,
  { clock, random }: InspectionPorts,
  signal: AbortSignal,
): Promise<RegistryReach | undefined> {
  const limit = new AbortController();
  const ending = AbortSignal.any([signal, limit.signal]);
  const late = clock.sleep(registryLimitMs, ending).then(
    (): RegistryReach => ({ kind: 'silent', text: `the registry does not answer within ${registryLimitMs / 1000} s` }),
    () => undefined,
  );
  try {
    // What can't be read for it is told beside.
    const sources = await buildImageSources(config, clock, random).catch(() => undefined);
    if (sources === undefined) return undefined;
    return await Promise.race([probeImage(sources, image, ending), late]);
  } finally {
    limit.abort();
  }
}

function faultOf(error: unknown): FileFault {
  const cause: unknown = error instanceof AgentError ? error.cause : error;
  const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return { ...reportOf(error), isDenied: errno === 'EACCES' || errno === 'EPERM' };
}

async function roomIn(path: string): Promise<NodeInspection['stateDir']> {
  return statfs(path).then(
    ({ bsize, bavail, blocks }) => ({ availableBytes: bsize * bavail, totalBytes: bsize * blocks }),
    () => undefined,
  );
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function panicSeconds(): Promise<number | undefined> {
  const text = await readFile('/proc/sys/kernel/panic', 'utf8').catch(() => undefined);
  return text === undefined || !/^-?\d+\s*$/.test(text) ? undefined : Number(text);
}
