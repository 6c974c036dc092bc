import type { CheckResult, HealthChecks, JournalChange, SlotService } from '../../agent/core/ports.ts';
import type { UpdateRules } from '../../agent/core/update-events.ts';
import type { SlotName, UpdateRequest, UpdateState } from '../../agent/core/update-state.ts';
import { encodeState } from '../../agent/store/state-codec.ts';
import { LocalSlotService } from '../../agent/slotd/local-slot-service.ts';
import { Effects } from '../../agent/update/effects.ts';
import { DownloadPacer } from '../../agent/update/download-pacer.ts';
import { FactsKeeper } from '../../agent/update/facts-keeper.ts';
import { ImageJudge } from '../../agent/update/judge-image.ts';
import { MeteredLink } from '../../agent/update/metered-link.ts';
import { Pulse } from '../../agent/update/pulse.ts';
import { TransferMeter } from '../../agent/update/transfer-meter.ts';
import { UpdateRunner } from '../../agent/update/runner.ts';
import { start } from '../../agent/update/start.ts';
import { StreamingSlotWriter } from '../../partitions/streaming-slot-writer.ts';
import type { CrashImage } from './images.ts';
import type { PausingOperator } from './pausing-operator.ts';
import { PowerCut, type World } from './world.ts';
import { ManualLink } from '../fakes/manual-link.ts';
import { writerParts } from '../fakes/writer-parts.ts';
import { noEvidence } from '../fakes/no-evidence.ts';

export const crashRules: UpdateRules = {
  tries: 4,
  attempts: 3,
  retryBaseMs: 1_000,
  retryMaxMs: 10_000,
  trialDeadlineMs: 600_000,
  loaderAttempts: 3,
  loaderRetryBaseMs: 2_000,
  loaderRetryMaxMs: 30_000,
};

const maxBoots = 60;

/** The writer's clock moves on by so much whenever it is read, so that checkpoints become due. */
const writerTickMs = 600;

/** What a node's life came to. */
export interface LifeEnd {
  /** Where it stands: an agent with nothing to do, or a node that stays up without one. */
  readonly end: 'at-rest' | 'no-agent' | 'never-ends';
  readonly booted: SlotName;
  readonly state: UpdateState | undefined;
  readonly boots: readonly string[];
  readonly violations: readonly string[];
}

/** Boots and runs the node until it is at rest. `update` is asked for in each boot until it was saved once. */
export async function live(
  world: World,
  update: UpdateRequest | undefined,
  operator?: PausingOperator,
  rules = crashRules,
): Promise<LifeEnd> {
  const boots: string[] = [];
  const violations: string[] = [];
  let wanted = update;
  let trialBoots = 0;
  let trialCuts = 0;
  let hadAgent = false;
  for (let count = 0; count < maxBoots; count += 1) {
    const slot = world.boot();
    if (slot === 'rescue') {
      boots.push('rescue');
      // RAUC's own script gives every slot its boots back and waits for the next reset.
      if (world.plan.loader !== 'rauc') violations.push('always bootable: the loader had nothing to boot');
      continue;
    }
    const image = world.imageIn(slot);
    boots.push(`${slot}:${image?.name ?? 'incomplete'}`);
    if (image === undefined) {
      violations.push(`always bootable: slot ${slot} was booted and is not complete`);
      return { end: 'never-ends', booted: slot, state: undefined, boots, violations };
    }
    const kernel = world.loader.startedKernel?.() ?? image.kernel;
    if (Buffer.compare(kernel, image.kernel) !== 0) {
      violations.push(`always bootable: slot ${slot} was started by a kernel that is not whole, or not its own`);
    }
    const isTrial = await isInTrial(world, slot);
    if (isTrial) trialBoots += 1;
    if (image.behaviour === 'dies-early' || image.behaviour === 'hangs') continue;
    const isAgentDead = image.behaviour === 'fails-then-no-agent' && hadAgent;
    hadAgent ||= image.behaviour === 'fails-then-no-agent';
    if (image.behaviour === 'no-agent' || isAgentDead) {
      // The guard reboots a trial that nobody marked good; a slot that is not in trial just runs.
      if (isTrial) continue;
      return { end: 'no-agent', booted: slot, state: undefined, boots, violations };
    }
    const knowsPowerLoss = trialBoots > 0 && trialCuts === trialBoots;
    const ran = await runAgent(world, slot, image, wanted, knowsPowerLoss, operator, rules);
    if (ran.hasSavedRequest) wanted = undefined;
    if (ran.end === 'cut') {
      if (isTrial) trialCuts += 1;
      world.powerOff();
      violations.push(...world.halfWritten().map((place) => `always bootable: ${place} has a first block and no body`));
    } else if (ran.end === 'at-rest') {
      return { end: 'at-rest', booted: slot, state: ran.state, boots, violations };
    }
  }
  violations.push(`no livelock: ${maxBoots} boots and no rest`);
  return { end: 'never-ends', booted: 'a', state: undefined, boots, violations };
}

async function isInTrial(world: World, slot: SlotName): Promise<boolean> {
  const loader = world.loader.adapter();
  return loader.readStatus().then(
    ({ trial }) => trial === slot,
    () => false,
  );
}

function healthOf(image: CrashImage): HealthChecks {
  const resultOf = (isWell: boolean): CheckResult => {
    const status = isWell ? 'passed' : 'failed';
    return { name: 'web', isRequired: true, status, attempts: 1, durationMs: 1, output: status };
  };
  const result = resultOf(image.behaviour === 'healthy' || image.behaviour === 'fails-probation');
  const watched = resultOf(image.behaviour === 'healthy');
  return {
    run: async () => [result],
    takeBaseline: async () => [],
    conclude: async () => undefined,
    watch: async () => [watched],
  };
}

/** Nothing is under way, and what is watched fails for good, or is watched no more. */
function isAtRest(state: UpdateState): boolean {
  return state.phase === 'idle' && (state.probation === undefined || state.probation.alarm !== undefined);
}

interface AgentRun {
  readonly end: 'cut' | 'rebooting' | 'at-rest';
  readonly state: UpdateState | undefined;
  readonly hasSavedRequest: boolean;
}

/** One boot of the agent: both of its halves, until the power goes, it reboots, or it has nothing left to do. */
async function runAgent(
  world: World,
  booted: SlotName,
  image: CrashImage,
  update: UpdateRequest | undefined,
  areAllTriesPowerLoss: boolean,
  operator: PausingOperator | undefined,
  rules: UpdateRules,
): Promise<AgentRun> {
  const reboots = { count: 0 };
  let watched: Promise<unknown> = Promise.resolve();
  let hasSavedRequest = false;
  let runner: UpdateRunner | undefined;
  try {
    const slots = slotService(world, booted, (argument) => {
      reboots.count += 1;
      world.loader.reboot(argument);
    });
    const journal = image.agent === 2 ? newerJournal(world) : world.journal;
    const facts = new FactsKeeper(world.facts);
    await facts.load();
    const { clock } = world;
    const started = await start({
      journal,
      slots,
      evidence: noEvidence(areAllTriesPowerLoss),
      clock,
      rules,
      bootId: `boot-${world.steps.length}`,
    });
    const ended = new AbortController();
    const identity = { compatible: 'acme', agentVersion: `${image.agent}.0.0` };
    const judge = new ImageJudge({
      sources: () => world.registry,
      trust: world.registry,
      slots,
      facts,
      identity,
      loader: { name: 'loader', isProofRequired: false },
    });
    const meter = new TransferMeter();
    const metered = new MeteredLink(new ManualLink(), { rule: 'full', limitBytes: undefined });
    const watch = () => {
      watched = Promise.all([watched, pauseBy(operator)]);
    };
    const pauseBy = async (by: PausingOperator | undefined) => {
      if (by === undefined || runner === undefined || !(await by.pause(world, runner))) return;
      // Somebody reboots the node in order.
      reboots.count += 1;
      ended.abort();
    };
    const effects = new Effects({
      judge,
      slots,
      facts,
      evidence: noEvidence(),
      health: healthOf(image),
      gates: [],
      clock,
      tries: rules.tries,
      watchIntervalMs: rules.probation?.intervalMs ?? 60_000,
      meter,
      metered,
      pacer: new DownloadPacer(undefined, facts, clock),
      onProgress: ({ writtenBytes }) => {
        if (writtenBytes > 0) watch();
      },
      onCheck: () => undefined,
      onFault: () => undefined,
    });
    const onStep = (_before: UpdateState, after: UpdateState) => {
      if (isAtRest(after)) ended.abort();
      if (after.phase !== 'writing') watch();
    };
    runner = new UpdateRunner(
      { journal, effects, rules, clock, reporters: [], meter, pulse: new Pulse(clock), onStep },
      started,
      [],
    );
    await operator?.resume(world, runner);
    if (runner.state.phase === 'idle' && update !== undefined) {
      await runner.dispatch({ type: 'update-requested', update, atMs: clock.nowMs() });
      hasSavedRequest = true;
    }
    if (runner.state.phase !== 'writing') watch();
    await watched;
    if (!isAtRest(runner.state)) await runner.run(ended.signal);
  } catch (error) {
    if (!(error instanceof PowerCut) && !world.isOff) throw error;
  }
  await watched;
  const end = world.isOff ? 'cut' : reboots.count > 0 ? 'rebooting' : 'at-rest';
  return { end, state: runner?.state, hasSavedRequest };
}

/** The privileged half of a boot in `booted`, over what survives in `world`. */
export function slotService(world: World, booted: SlotName, reboot: (argument?: string) => void): SlotService {
  const { checkpoints } = world;
  let writerMs = 0;
  return new LocalSlotService({
    booted,
    bootloader: world.loader.adapter(),
    payloads: world.loader.payloads?.(),
    devices: world.devices,
    writer: new StreamingSlotWriter({
      ...writerParts,
      clock: { ...writerParts.clock, monotonicMs: () => (writerMs += writerTickMs) },
      devices: world.devices,
      bufferBytes: 4096,
      ...(checkpoints === undefined ? {} : { checkpoints }),
    }),
    ...(checkpoints === undefined ? {} : { checkpoints }),
    policy: world.registry,
    records: world.records,
    rebooter: {
      reboot: async (argument) => {
        reboot(argument);
      },
    },
    identity: { compatible: 'acme', agentVersion: '1.0.0' },
  });
}

/** An agent of the next version on the same state directory: it writes fields that this version does not know. */
function newerJournal(world: World): World['journal'] {
  const { journal } = world;
  return new Proxy(journal, {
    get: (target, name) => {
      if (name !== 'save') {
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      }
      return async (change: JournalChange) => {
        await target.save(change);
        if (change.state === undefined) return;
        const document = JSON.parse(encodeState(change.state)) as Record<string, unknown>;
        target.putStateDocument(JSON.stringify({ ...document, probationUntilMs: 5, nested: { unknown: [true] } }));
      };
    },
  });
}
