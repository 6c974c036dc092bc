import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { CheckUnit, checkConnector } from '../checkd/check-unit.ts';
import type { KaonConfig } from '../config/config.ts';
import type { ErrorReport } from '../core/errors.ts';
import type { Clock, Gate, ImageSourceFactory, Random, Reporter, SlotService, TrustPolicy } from '../core/ports.ts';
import { defaultRules, type UpdateRules } from '../core/update-events.ts';
import type { SignedImages } from '../core/signed-images.ts';
import { distinctFaults } from '../core/status.ts';
import type { UpdateState } from '../core/update-state.ts';
import { BootEvidence } from '../evidence/boot-evidence.ts';
import { kernelPlaces } from '../evidence/kernel-places.ts';
import { SystemJournal } from '../evidence/system-journal.ts';
import type { HealthRunner } from '../health/health-runner.ts';
import { SystemHostProbe } from '../host/host-readings.ts';
import { NetworkManagerLink, StatedLink } from '../host/link-meters.ts';
import type { NodeFactsReader } from '../host/node-facts.ts';
import { ProcessCommandRunner } from '../host/process-command-runner.ts';
import { withoutServiceVariables } from '../host/service-environment.ts';
import { InhibitorGate } from '../systemd/inhibitor-gate.ts';
import type { TriggerKey } from '../trust/trigger-envelope.ts';
import { DownloadPacer } from '../update/download-pacer.ts';
import { Effects } from '../update/effects.ts';
import { EventLog } from '../update/event-log.ts';
import { degradedGate, holdGate } from '../update/gates.ts';
import { MeteredLink } from '../update/metered-link.ts';
import { HealthBoard } from '../update/health-board.ts';
import { HeldReboot } from '../update/held-reboot.ts';
import { ImageJudge } from '../update/judge-image.ts';
import { settleLoader } from '../update/loader-test.ts';
import { OfferWatch } from '../update/offer-watch.ts';
import { NodeReader } from '../update/node-reader.ts';
import { Pulse } from '../update/pulse.ts';
import { TransferMeter } from '../update/transfer-meter.ts';
import { UpdateRunner } from '../update/runner.ts';
import { start, type Started } from '../update/start.ts';
import { buildControl, buildServer, loaderName } from './build-control.ts';
import { buildHealth } from './build-health.ts';
import { LogReporter } from './log-reporter.ts';
import { UpdateRegistryProbe } from './registry-probe.ts';
import type { OpenedState } from './open-state.ts';
import { standingFaults } from './standing-faults.ts';
import { startEvents } from './start-events.ts';

/** Of the system's journal, each time that it is asked. */
const excerptBytes = 8192;

/** Of logind's answer, which grows with each inhibitor. */
const inhibitorBytes = 65_536;

/** What an agent is assembled from. */
export interface AgentParts {
  readonly config: KaonConfig;
  readonly state: OpenedState;
  readonly slots: SlotService;
  readonly sources: ImageSourceFactory;
  readonly trust: TrustPolicy;
  /** What the images in the slots were trusted by, and policies as they are now, at that time and at this. */
  readonly kept: SignedImages;
  readonly trustAt: (atMs: number) => Promise<readonly TrustPolicy[]>;
  readonly triggerKeys: readonly TriggerKey[];
  readonly nodeFacts: NodeFactsReader;
  /** The worker that measures the host for health checks. */
  readonly readingsWorker: URL;
  /** Where kaon-check listens; `undefined`: checks run in this process. */
  readonly checkSocket: string | undefined;
  readonly clock: Clock;
  /** The time of trust decisions, in epoch milliseconds. */
  readonly trustNowMs: () => number;
  readonly random: Random;
  readonly log: Logger;
  readonly agentVersion: string;
  readonly nodeId: string;
  readonly bootId: string;
  /** Whether that is this machine's boot, so that its journal tells of it. */
  readonly isOwnBoot: boolean;
  /** Below it lies what the kernel kept of earlier boots. */
  readonly evidenceRoot: string;
  /** What is known to be wrong before the loader was read. */
  readonly faults: readonly ErrorReport[];
  /** Who hears of events beside the status and the log. */
  readonly reporters: readonly Reporter[];
}

/** An agent that knows where it stands, not yet running. */
export interface Agent {
  readonly runner: UpdateRunner;
  readonly server: FastifyInstance;
  readonly started: Started;
  readonly faults: readonly ErrorReport[];
  /** An operator's reboot that waits; to be ended with the agent. */
  readonly heldReboot: HeldReboot;
  /** Whether the runner makes headway. */
  readonly pulse: Pulse;
  /** What was offered to the node; absent without the facts. */
  readonly offers: OfferWatch | undefined;
}

/** Finds out what the restart meant, and puts the agent together. Rejects where nothing can be judged. */
export async function assembleAgent(parts: AgentParts): Promise<Agent> {
  const { state, slots, clock, log } = parts;
  const [rules, evidence] = [rulesOf(parts.config), evidenceOf(parts)];
  const started = await start({ journal: state.journal, slots, evidence, clock, rules, bootId: parts.bootId });
  const tested = await loaderTestOf(parts, started);
  const faults = faultsOf(parts, started);
  const warn = (text: string) => (error: unknown) => log.warn({ err: error }, text);
  const events = new EventLog(state.journal, warn('cannot store an event'));
  const health = new HealthBoard();
  const nodeReader = new NodeReader(slots, clock);
  const report: Reporter['report'] = (event) => reporters.forEach((each) => each.report(event));
  const offers = offersOf(parts, faults, report);
  const judge = judgeOf(parts, offers);
  const shared = transferOf(parts);
  const pulse = new Pulse(clock);
  const effects = new Effects({
    judge,
    slots,
    facts: state.facts,
    health: healthOf(parts, () => runner.state),
    evidence,
    gates: gatesOf(parts, faults),
    clock,
    ...effectRules(rules),
    ...shared,
    onProgress: (progress) => runner.reportProgress(progress),
    onCheck: (result) => {
      health.put(result);
      events.changed();
    },
    kept: parts.kept,
    onFault: warn('the update goes on without a part of it'),
  });
  const reporters = [events, new LogReporter(log), ...parts.reporters];
  const onStep = (before: UpdateState, after: UpdateState) => {
    health.follow(before, after);
    nodeReader.invalidate();
  };
  const runner: UpdateRunner = new UpdateRunner(
    { journal: state.journal, effects, rules, clock, reporters, pulse, ...shared, onStep },
    started,
    await standingFaults(parts, started, faults),
  );
  health.follow({ phase: 'idle' }, runner.state);
  for (const event of startEvents(started, tested, parts)) report(event);
  const heldReboot = new HeldReboot({ gates: inhibitorsOf(parts), slots, events, clock });
  const made = { runner, judge, nodeReader, events, health, heldReboot, offers, ...shared };
  const server = buildServer(parts, buildControl(parts, made, faults, started));
  return { runner, server, started, faults, pulse, heldReboot, offers };
}

function loaderTestOf({ config, state, slots, clock, bootId }: AgentParts, started: Started) {
  return settleLoader({ slots, facts: state.facts, clock, bootId, loader: loaderName(config.bootloader) }, started);
}

function faultsOf({ faults, state }: AgentParts, started: Started): readonly ErrorReport[] {
  const ofNode = started.node?.faults ?? [];
  return distinctFaults([...faults, ...started.faults, ...lostState(state, started), ...ofNode]);
}

function gatesOf(parts: AgentParts, faults: readonly ErrorReport[]): readonly Gate[] {
  return [degradedGate(faults), holdGate(parts.state.facts, parts.clock), ...inhibitorsOf(parts)];
}

/** Those of the machine that a test or the demo runs on are no concern of its node. */
function inhibitorsOf({ config, clock, isOwnBoot }: AgentParts): readonly InhibitorGate[] {
  const commands = new ProcessCommandRunner(withoutServiceVariables(process.env), inhibitorBytes);
  return isOwnBoot ? [new InhibitorGate(commands, clock, config.update.reboot)] : [];
}

/** What the downloads of an update share with those who tell of them. */
function transferOf({ config, state, clock }: AgentParts) {
  const pacer = new DownloadPacer(config.update.download.bytesPerSecond, state.facts, clock);
  return { meter: new TransferMeter(), metered: meteredLinkOf(config), pacer };
}

function meteredLinkOf({ update: { metered } }: KaonConfig): MeteredLink {
  const commands = new ProcessCommandRunner(withoutServiceVariables(process.env));
  const link = metered.link === 'auto' ? new NetworkManagerLink(commands) : new StatedLink(metered.link === 'metered');
  return new MeteredLink(link, metered);
}

/** Where anything of the state can't be used, nothing is kept: it would be written over what could not be read. */
function offersOf(
  { state, clock, trustNowMs, config, log }: AgentParts,
  faults: readonly ErrorReport[],
  report: Reporter['report'],
): OfferWatch | undefined {
  if (faults.length > 0) return undefined;
  const onFault = (error: unknown) => log.warn({ err: error }, 'cannot keep what was offered');
  const reportAfterMs = config.trust.reportSilenceAfterMs;
  return new OfferWatch({ facts: state.facts, clock, nowMs: trustNowMs, reportAfterMs, report, onFault });
}

function judgeOf(
  { sources, trust, slots, state, config, agentVersion }: AgentParts,
  offers: OfferWatch | undefined,
): ImageJudge {
  const identity = { compatible: config.node.compatible, agentVersion };
  const loader = { name: loaderName(config.bootloader), isProofRequired: config.update.unprovenLoader === 'refuse' };
  return new ImageJudge({ sources, trust, slots, facts: state.facts, identity, loader, offers });
}

/** What effects go by; where no rule has a probation, nobody waits for its interval. */
function effectRules({ tries, probation }: UpdateRules): { readonly tries: number; readonly watchIntervalMs: number } {
  return { tries, watchIntervalMs: probation?.intervalMs ?? 300_000 };
}

function rulesOf({ bootloader, update, health }: KaonConfig): UpdateRules {
  const { attempts, baseMs, maxMs } = update.retry;
  return {
    ...defaultRules,
    tries: bootloader.tries,
    attempts,
    retryBaseMs: baseMs,
    retryMaxMs: maxMs,
    trialDeadlineMs: health.deadlineMs,
    probation: health.probation,
  };
}

function evidenceOf({ config, state, slots, bootId, isOwnBoot, evidenceRoot }: AgentParts): BootEvidence {
  return new BootEvidence({
    bootId,
    boots: async () => (await state.journal.load()).boots,
    loader: async () => {
      const { booted, boot } = await slots.readNode();
      const { trial: slot, trialTries: tries } = boot;
      return { booted, trial: slot && { slot, tries, triesLeft: boot.slots[slot].triesLeft } };
    },
    orderlyEndsFile: join(config.stateDir, 'boots-ended'),
    resetsFile: join(config.stateDir, 'resets'),
    panicsFile: join(config.stateDir, 'panics'),
    ...kernelPlaces(evidenceRoot),
    systemJournal: isOwnBoot
      ? new SystemJournal(new ProcessCommandRunner(withoutServiceVariables(process.env), excerptBytes))
      : undefined,
  });
}

function healthOf(parts: AgentParts, state: () => UpdateState): HealthRunner {
  const { config, clock, readingsWorker, sources, checkSocket, log } = parts;
  const commands = new ProcessCommandRunner(withoutServiceVariables(process.env));
  const host = new SystemHostProbe(readingsWorker, commands);
  const ports = { commands, host, registry: new UpdateRegistryProbe(sources, state) };
  const onProblem = ({ code, message }: ErrorReport) =>
    log.warn({ code }, `kaond runs health checks itself: ${message}`);
  const unit = checkSocket === undefined ? undefined : new CheckUnit(checkConnector(checkSocket), clock, onProblem);
  return buildHealth(config.health, ports, clock, unit);
}

/** A trial in which there is no trace of any state: its data partition is not there, and a rollback could not explain itself. */
function lostState(state: OpenedState, { node }: Started): readonly ErrorReport[] {
  if (!state.wasEmpty || node === undefined || node.boot.trial !== node.booted) return [];
  return [
    {
      code: 'state-dir-invalid',
      message: 'cannot find any state of this node in a trial: is the data partition mounted in the new image?',
    },
  ];
}
