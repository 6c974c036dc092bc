import type { Logger } from 'pino';
import { listenOnSocket } from '../api/listen.ts';
import { AgentError, type ErrorReport, reportOf } from '../core/errors.ts';
import type { Clock, Reporter, SlotService } from '../core/ports.ts';
import { defaultRules } from '../core/update-events.ts';
import type { SlotName } from '../core/update-state.ts';
import { fullCollection, IdleMemory } from '../host/idle-memory.ts';
import { readBootId, readNodeId } from '../host/machine.ts';
import { NodeFactsReader } from '../host/node-facts.ts';
import { readSystemFacts } from '../host/system-facts.ts';
import { SystemRandom } from '../host/system-random.ts';
import { SignedImageFiles } from '../store/signed-image-files.ts';
import type { SystemdNotifier } from '../systemd/notifier.ts';
import { RuleTrustPolicy } from '../trust/trust-policy.ts';
import { trustTime } from '../trust/trust-time.ts';
import { renewMarkers } from '../update/renewal.ts';
import { type Agent, assembleAgent } from './assemble-agent.ts';
import { degradedConfig } from './degraded-config.ts';
import { buildImageSources } from './image-sources.ts';
import type { KaondOptions } from './kaond-options.ts';
import { loadNodeConfig } from './load-node-config.ts';
import { loadTriggerKeys, loadTrustPolicy } from './load-trust.ts';
import { type OpenedState, openState } from './open-state.ts';
import { standingFault } from './standing-faults.ts';

/** What outlives one start of the agent. */
export interface AgentSurroundings {
  readonly options: KaondOptions;
  readonly slots: SlotService;
  readonly clock: Clock;
  readonly log: Logger;
  readonly notifier: SystemdNotifier;
  readonly agentVersion: string;
  /** When this kaon was built, in epoch milliseconds; `undefined` where it runs from its sources. */
  readonly builtAtMs: number | undefined;
  /** The worker that asks for facts of the host. */
  readonly factsWorker: URL;
  /** The worker that measures the host for health checks. */
  readonly readingsWorker: URL;
}

const slotdWaitMs = 20_000;
const slotdPollMs = 500;
const loaderPollMs = 10_000;
const factsLimitMs = 20_000;

/** How long systemd has to end us once the reboot was accepted. */
const rebootWaitMs = 180_000;

/**
 * One start of the agent to its end. `start-over`: what it could not read at its start can be read now, or a reboot that
 * was accepted did not come. Rejects with coded errors, or with a broken invariant.
 */
export async function runAgent(around: AgentSurroundings, signal: AbortSignal): Promise<'stopped' | 'start-over'> {
  const { log, clock, notifier } = around;
  await waitForSlotd(around, signal);
  if (isOver(signal)) return 'stopped';
  const ended = new AbortController();
  const all = AbortSignal.any([signal, ended.signal]);
  const { agent, state, socket } = await prepare(around, new IdleMemory(clock, fullCollection, all), all);
  try {
    await listen(around, agent, socket);
    for (const { code, message } of agent.faults) log.error({ code }, `degraded: ${message}`);
    await notifier.ready(
      agent.faults[0] === undefined ? agent.runner.state.phase : `degraded: ${agent.faults[0].message}`,
    );
    void agent.offers?.run(all);
    void notifier.feedWatchdog(clock, () => agent.pulse.isAlive(), all);
    const ways = [agent.runner.run(all).then((end) => (end === 'rebooting' ? awaitReboot(around, all) : 'stopped'))];
    if (agent.started.node === undefined) ways.push(awaitLoader(around, all));
    else if (agent.started.isRenewalDue) ways.push(awaitRenewal(around, agent.started.node.booted, all));
    return await Promise.race(ways);
  } finally {
    ended.abort();
    agent.heldReboot.end();
    await agent.server.close();
    if (isOver(signal)) await noteOrderlyEnd(around, state);
    state.close();
  }
}

/** An agent that nobody can talk to still ends its trial, by a failed check; two agents on one state must never be. */
async function listen({ log }: AgentSurroundings, { server, runner }: Agent, socket: string): Promise<void> {
  try {
    await listenOnSocket(server, socket);
  } catch (error) {
    if (error instanceof AgentError && error.details['isTaken'] === true) throw error;
    const { code, message } = reportOf(error);
    log.error({ code }, message);
    runner.addStandingFault(standingFault({ code, message }));
  }
}

/** Asked anew each time: the signal changes while others are waited for. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function prepare(
  around: AgentSurroundings,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<{ readonly agent: Agent; readonly state: OpenedState; readonly socket: string }> {
  const { options, clock, log, agentVersion } = around;
  const faults: ErrorReport[] = [];
  const { config: found, fault } = await loadNodeConfig(
    { mainFile: options.config, imageFile: options.imageConfig },
    options.defaultStateDir,
    agentVersion,
    (error) => log.warn({ err: error }, 'cannot keep a copy of the configuration'),
  );
  if (fault !== undefined) faults.push(fault);
  const config = found ?? degradedConfig(options.defaultStateDir);
  const state = await openState(config);
  faults.push(...state.faults);
  const random = new SystemRandom();
  const time = () => trustTime(clock.nowMs(), { buildMs: around.builtAtMs, signedMs: state.facts.data.signedTimeMs });
  const noTrust = () => new RuleTrustPolicy({ keys: [], rules: [] });
  const noSources = () => buildImageSources({ registries: {}, registriesConf: undefined }, clock, random);
  const agent = await assembleAgent({
    config,
    state,
    slots: around.slots,
    sources: await orFault(buildImageSources(config, clock, random), noSources, faults),
    trust: await orFault(loadTrustPolicy(config.trust, time), noTrust, faults),
    kept: new SignedImageFiles(config.stateDir, () => time().nowMs),
    // A key that begins only now, or ended since, is none that locks the node out.
    trustAt: async (atMs) => {
      const then = () => ({ nowMs: atMs, source: 'clock' }) as const;
      return Promise.all([then, time].map((one) => loadTrustPolicy(config.trust, one)));
    },
    triggerKeys: await orFault(loadTriggerKeys(config.triggers), () => [], faults),
    nodeFacts: nodeFactsOf(around, config.stateDir, signal),
    readingsWorker: around.readingsWorker,
    checkSocket: options.checkSocket,
    clock,
    trustNowMs: () => time().nowMs,
    random,
    log,
    agentVersion,
    nodeId: config.node.id ?? (await orFault(readNodeId(), () => 'unknown', faults)),
    bootId: options.bootId ?? (await readBootId()),
    isOwnBoot: options.bootId === undefined,
    evidenceRoot: options.evidenceRoot,
    faults,
    reporters: [reporter],
  });
  return { agent, state, socket: config.api.socket };
}

function nodeFactsOf(
  { factsWorker, log, clock }: AgentSurroundings,
  stateDir: string,
  signal: AbortSignal,
): NodeFactsReader {
  const facts = new NodeFactsReader(
    stateDir,
    () => readSystemFacts(factsWorker, factsLimitMs),
    (error) => log.warn({ err: error }, 'cannot read facts of the host'),
  );
  void facts.start(clock, signal);
  return facts;
}

async function orFault<T>(reading: Promise<T>, otherwise: () => T | Promise<T>, faults: ErrorReport[]): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    faults.push(reportOf(error));
    return otherwise();
  }
}

/** At a boot both halves start at once; a slotd that is only late must not make a trial fail. */
async function waitForSlotd({ slots, clock }: AgentSurroundings, signal: AbortSignal): Promise<void> {
  const endMs = clock.monotonicMs() + slotdWaitMs;
  while (!signal.aborted && clock.monotonicMs() < endMs) {
    const code = await slots.readNode().then(
      () => undefined,
      (error: unknown) => reportOf(error).code,
    );
    if (code !== 'slotd-unreachable') return;
    await clock.sleep(slotdPollMs, signal).catch(() => undefined);
  }
}

/** Resolves once the loader, which could not be read at the start, can be. */
async function awaitLoader(
  { slots, clock, log }: AgentSurroundings,
  signal: AbortSignal,
): Promise<'start-over' | 'stopped'> {
  while (!signal.aborted) {
    await clock.sleep(loaderPollMs, signal).catch(() => undefined);
    const isReadable = await slots.readNode().then(
      () => true,
      () => false,
    );
    if (!isReadable) continue;
    log.info('the loader can be read now: starting over');
    return 'start-over';
  }
  return 'stopped';
}

/** Resolves once the loader, whose markers could not be renewed at the start, has them. */
async function awaitRenewal(
  { slots, clock, log }: AgentSurroundings,
  booted: SlotName,
  signal: AbortSignal,
): Promise<'start-over' | 'stopped'> {
  const onFailure = ({ code, message }: ErrorReport) =>
    log.error({ code }, `the markers of slot ${booted} are not renewed: ${message}`);
  if (!(await renewMarkers({ slots, clock, rules: defaultRules }, booted, onFailure, signal))) return 'stopped';
  log.info(`the markers of slot ${booted} are renewed: starting over`);
  return 'start-over';
}

/** The status is served until systemd ends us; where it does not, the reboot is asked for again by starting over. */
async function awaitReboot({ clock, log }: AgentSurroundings, signal: AbortSignal): Promise<'start-over' | 'stopped'> {
  log.info('the node reboots');
  const isLate = await clock.sleep(rebootWaitMs, signal).then(
    () => true,
    () => false,
  );
  if (!isLate) return 'stopped';
  log.error(`the reboot did not come within ${rebootWaitMs / 1000} s: starting over`);
  return 'start-over';
}

/** That somebody ended the agent in order tells a shutdown from a lost power supply; a restart in this boot undoes it. */
async function noteOrderlyEnd({ options, log }: AgentSurroundings, { journal }: OpenedState): Promise<void> {
  try {
    const bootId = options.bootId ?? (await readBootId());
    const boot = (await journal.load()).boots.find((record) => record.bootId === bootId);
    if (boot !== undefined) await journal.save({ boot: { ...boot, isEndedCleanly: true } });
  } catch (error) {
    log.warn({ err: error }, 'cannot record the orderly end');
  }
}
