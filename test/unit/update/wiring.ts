import { AgentError, type ErrorReport } from '../../../agent/core/errors.ts';
import type { UpdateInput } from '../../../agent/core/control.ts';
import type {
  Baseline,
  BaselineCheck,
  CheckProgress,
  LayerSource,
  CheckResult,
  Gate,
  HealthChecks,
  Journal,
  NodeBoot,
  PatchOffer,
  RebootPurpose,
  Reporter,
  SignedImage,
  SlotService,
  WriteProgress,
  WrittenSlot,
} from '../../../agent/core/ports.ts';
import type { MeteredRules } from '../../../agent/core/metered.ts';
import type { UpdateRules } from '../../../agent/core/update-events.ts';
import type { EvidenceItem, Phase, SlotName, UpdateState } from '../../../agent/core/update-state.ts';
import { LocalSlotService } from '../../../agent/slotd/local-slot-service.ts';
import { AgentControlService } from '../../../agent/update/agent-control.ts';
import type { TriggerVerifier } from '../../../agent/update/trigger-verifier.ts';
import { Effects } from '../../../agent/update/effects.ts';
import { DownloadPacer } from '../../../agent/update/download-pacer.ts';
import { EventLog } from '../../../agent/update/event-log.ts';
import { FactsKeeper } from '../../../agent/update/facts-keeper.ts';
import { HeldReboot } from '../../../agent/update/held-reboot.ts';
import { HealthBoard } from '../../../agent/update/health-board.ts';
import { degradedGate, holdGate } from '../../../agent/update/gates.ts';
import { ImageJudge } from '../../../agent/update/judge-image.ts';
import { NodeReader } from '../../../agent/update/node-reader.ts';
import { MeteredLink } from '../../../agent/update/metered-link.ts';
import { Pulse } from '../../../agent/update/pulse.ts';
import { TransferMeter } from '../../../agent/update/transfer-meter.ts';
import { UpdateRunner } from '../../../agent/update/runner.ts';
import { settleLoader } from '../../../agent/update/loader-test.ts';
import { start, type Started } from '../../../agent/update/start.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { ManualLink } from '../../fakes/manual-link.ts';
import { MemoryBootloader } from '../../fakes/memory-bootloader.ts';
import { MemoryFacts } from '../../fakes/memory-facts.ts';
import { MemoryJournal } from '../../fakes/memory-journal.ts';
import { MemoryWrittenRecords } from '../../fakes/memory-written-records.ts';
import { RecordingReporter } from '../../fakes/recording-reporter.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { TestRegistry } from './registry.ts';
import { writerParts } from '../../fakes/writer-parts.ts';
import { noEvidence } from '../../fakes/no-evidence.ts';

export const rules: UpdateRules = {
  tries: 4,
  attempts: 3,
  retryBaseMs: 15_000,
  retryMaxMs: 900_000,
  trialDeadlineMs: 600_000,
  loaderAttempts: 3,
  loaderRetryBaseMs: 2_000,
  loaderRetryMaxMs: 30_000,
};

export const repository = 'registry.acme.io/os/edge';

/** What an operator asks for: the image `tag`, all the way unless told. */
export function wanted(tag: string, until: UpdateInput['until'] = 'committed'): UpdateInput {
  return { image: `${repository}:${tag}`, from: undefined, until, requestedBy: 'operator' };
}

/** Names of steps, in order; a step may be made to fail or to wait. */
export class Steps {
  readonly names: string[] = [];
  readonly #failures: { readonly name: string; readonly error: Error; left: number }[] = [];
  readonly #blocks = new Map<string, Promise<void>>();

  /** The next `times` steps of `name` fail with `error`. */
  fail(name: string, error: Error, times = 1): void {
    this.#failures.push({ name, error, left: times });
  }

  /** Steps of `name` wait until the returned function is called. */
  block(name: string): () => void {
    let release: () => void = () => undefined;
    this.#blocks.set(
      name,
      new Promise((resolve) => {
        release = resolve;
      }),
    );
    return () => {
      this.#blocks.delete(name);
      release();
    };
  }

  /** Takes a step at once. */
  take(name: string): void {
    this.names.push(name);
    const failure = this.#failures.find((one) => one.name === name && one.left > 0);
    if (failure === undefined) return;
    failure.left -= 1;
    throw failure.error;
  }

  /** Takes a step that may be made to wait; `signal` ends the wait with its reason. */
  async takeSlowly(name: string, signal?: AbortSignal): Promise<void> {
    this.take(name);
    const block = this.#blocks.get(name);
    if (block === undefined) return;
    const aborted = new Promise<never>((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    await Promise.race([block, aborted]);
  }
}

/** A slot service that takes a step before each change. */
class SteppedSlots implements SlotService {
  readonly #slots: SlotService;
  readonly #steps: Steps;

  constructor(slots: SlotService, steps: Steps) {
    this.#slots = slots;
    this.#steps = steps;
  }

  async readNode(): Promise<NodeBoot> {
    return this.#slots.readNode();
  }

  async repairLoader(isOtherGood: boolean): Promise<boolean> {
    await this.#steps.takeSlowly(`repair-loader ${isOtherGood}`);
    return this.#slots.repairLoader(isOtherGood);
  }

  async writeSlot(
    slot: SlotName,
    signed: SignedImage,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
    patches?: readonly PatchOffer[],
  ): Promise<WrittenSlot> {
    await this.#steps.takeSlowly(`write ${slot}`, signal);
    return this.#slots.writeSlot(slot, signed, layers, onProgress, signal, patches);
  }

  estimateWrite(...args: Parameters<SlotService['estimateWrite']>): ReturnType<SlotService['estimateWrite']> {
    return this.#slots.estimateWrite(...args);
  }

  async activate(slot: SlotName, tries: number, digest: string | undefined): Promise<void> {
    await this.#steps.takeSlowly(`activate ${slot}`);
    await this.#slots.activate(slot, tries, digest);
  }

  async markGood(slot: SlotName): Promise<void> {
    await this.#steps.takeSlowly(`mark-good ${slot}`);
    await this.#slots.markGood(slot);
  }

  async markBad(slot: SlotName): Promise<void> {
    await this.#steps.takeSlowly(`mark-bad ${slot}`);
    await this.#slots.markBad(slot);
  }

  async reboot(purpose?: RebootPurpose): Promise<void> {
    await this.#steps.takeSlowly('reboot');
    await this.#slots.reboot(purpose);
  }

  async armLoaderTest(): Promise<void> {
    await this.#steps.takeSlowly('arm-loader-test');
    await this.#slots.armLoaderTest();
  }

  async readLoaderTest(): Promise<boolean | undefined> {
    await this.#steps.takeSlowly('read-loader-test');
    return this.#slots.readLoaderTest();
  }

  async clearLoaderTest(): Promise<void> {
    await this.#steps.takeSlowly('clear-loader-test');
    await this.#slots.clearLoaderTest();
  }

  async keepEvidence(text: string): Promise<boolean> {
    this.#steps.take('keep-evidence');
    return this.#slots.keepEvidence(text);
  }
}

/** Checks that come to what a test wants. */
export class ScriptedChecks implements HealthChecks {
  status: CheckResult['status'] = 'passed';
  readonly deadlinesMs: number[] = [];
  readonly baselines: (Baseline | undefined)[] = [];
  readonly concluded: boolean[] = [];
  before: readonly BaselineCheck[] = [];
  readonly #steps: Steps;

  constructor(steps: Steps) {
    this.#steps = steps;
  }

  async run(
    deadlineMs: number,
    onProgress: (progress: CheckProgress) => void,
    signal: AbortSignal,
    baseline?: Baseline,
  ): Promise<readonly CheckResult[]> {
    this.deadlinesMs.push(deadlineMs);
    this.baselines.push(baseline);
    await this.#steps.takeSlowly('check-health', signal);
    const { status } = this;
    const result: CheckResult = {
      name: 'web',
      isRequired: true,
      status,
      attempts: 1,
      durationMs: 5,
      output: 'HTTP 500',
    };
    onProgress(result);
    return [result];
  }

  async watch(
    onProgress: (progress: CheckProgress) => void,
    signal: AbortSignal,
    baseline?: Baseline,
  ): Promise<readonly CheckResult[]> {
    return this.run(0, onProgress, signal, baseline);
  }

  async conclude(isPassed: boolean): Promise<void> {
    this.concluded.push(isPassed);
  }

  async takeBaseline(): Promise<readonly BaselineCheck[]> {
    return this.before;
  }
}

/** A gate that a test opens and closes. */
export class ManualGate implements Gate {
  readonly name = 'window';
  readonly at: Gate['at'];
  closedUntilMs: number | undefined;
  isOpen = true;
  asked = 0;

  constructor(at: Gate['at'] = ['download', 'reboot']) {
    this.at = at;
  }

  async ask(): ReturnType<Gate['ask']> {
    this.asked += 1;
    if (this.isOpen) return { isOpen: true };
    const text = 'the window opens on Saturday';
    return { isOpen: false, code: 'update-held', text, untilMs: this.closedUntilMs };
  }
}

interface FakeTrigger {
  readonly keyId: string;
  readonly image: string;
  readonly action: 'stage' | 'activate';
  readonly sequence: number;
}

/** Believes what it is given but for a sequence that is not above the last one. */
const verifyTrigger: TriggerVerifier = (envelope, lastSequences) => {
  const trigger = envelope as FakeTrigger;
  if (trigger.sequence <= (lastSequences[trigger.keyId] ?? 0)) {
    throw new AgentError('trigger-replayed', `cannot take the trigger: sequence ${trigger.sequence} was used`);
  }
  return { ...trigger, sequenceKeys: [trigger.keyId] };
};

/** One run of the agent on a node. */
export class TestAgent {
  readonly control: AgentControlService;
  readonly runner: UpdateRunner;
  readonly pulse: Pulse;
  readonly facts: FactsKeeper;
  readonly events: EventLog;
  readonly health: HealthBoard;
  readonly heldReboot: HeldReboot;
  readonly reporter: RecordingReporter;
  readonly started: Started;
  readonly faults: unknown[] = [];
  readonly #node: TestNode;
  readonly #ending = new AbortController();
  #running: Promise<'stopped' | 'rebooting'> | undefined;

  constructor(node: TestNode, facts: FactsKeeper, started: Started, slots: SlotService, options: AgentOptions) {
    const { clock, registry } = node;
    const journal = options.journal ?? node.journal;
    this.#node = node;
    this.facts = facts;
    this.started = started;
    this.health = new HealthBoard();
    this.pulse = new Pulse(clock);
    this.reporter = new RecordingReporter();
    this.events = new EventLog(journal, (error) => this.faults.push(error));
    const nodeReader = new NodeReader(slots, clock);
    const identity = { compatible: 'acme-gw-2', agentVersion: '1.4.0' };
    const loader = { name: 'memory', isProofRequired: options.isProofRequired ?? false };
    const judge = new ImageJudge({ sources: () => registry, trust: registry, slots, facts, identity, loader });
    const meter = new TransferMeter();
    const metered = new MeteredLink(node.link, options.metered ?? { rule: 'full', limitBytes: undefined });
    const pacer = new DownloadPacer(undefined, facts, clock);
    const effects = new Effects({
      judge,
      pacer,
      slots,
      facts,
      health: node.checks,
      evidence: noEvidence(false, node.trialEvidence),
      gates: [degradedGate(options.gateFaults ?? []), holdGate(facts, clock), ...(options.gates ?? [])],
      clock,
      tries: rules.tries,
      watchIntervalMs: 60_000,
      meter,
      metered,
      onProgress: (progress) => this.runner.reportProgress(progress),
      onCheck: (result) => this.health.put(result),
      onFault: (error) => this.faults.push(error),
    });
    const onStep = (before: UpdateState, after: UpdateState) => {
      nodeReader.invalidate();
      this.health.follow(before, after);
    };
    const reporters = [this.reporter, this.events, ...(options.reporters ?? [])];
    const pulse = this.pulse;
    const ports = { journal, effects, rules: options.rules ?? rules, clock, reporters, meter, pulse, onStep };
    this.runner = new UpdateRunner(ports, started, options.standingFaults ?? []);
    this.health.follow({ phase: 'idle' }, started.state);
    this.heldReboot = new HeldReboot({ gates: options.rebootGates ?? [], slots, events: this.events, clock });
    this.control = new AgentControlService({
      runner: this.runner,
      judge,
      facts,
      journal,
      slots,
      nodeReader,
      events: this.events,
      meter,
      metered,
      pacer,
      health: this.health,
      heldReboot: this.heldReboot,
      clock,
      random: node.random,
      verifyTrigger,
      agentVersion: '1.4.0',
      node: { id: 'node-1', compatible: 'acme-gw-2', labels: { site: 'oslo' } },
      degraded: [...started.faults, ...(options.degraded ?? [])],
      startedAtMs: clock.nowMs(),
      hasLoaderCounted: started.hasLoaderCounted,
      bootId: node.bootId,
      loader: loader.name,
    });
  }

  get phase(): Phase {
    return this.runner.state.phase;
  }

  /** Lets the runner work; resolves once it has nothing to do at this time of the clock. */
  async run(): Promise<void> {
    this.#running ??= this.runner.run(this.#ending.signal);
    await this.#node.clock.advance(0);
  }

  /** Moves the clock on while the runner works. */
  async pass(durationMs: number): Promise<void> {
    await this.run();
    await this.#node.clock.advance(durationMs);
  }

  /** Ends the runner; resolves to what its run came to. */
  async stop(): Promise<'stopped' | 'rebooting'> {
    this.#ending.abort(new Error('the agent stops'));
    return (await this.#running) ?? 'stopped';
  }

  /** What the run came to by itself. */
  async end(): Promise<'stopped' | 'rebooting'> {
    this.#running ??= this.runner.run(this.#ending.signal);
    return this.#running;
  }
}

export interface AgentOptions {
  readonly metered?: MeteredRules;
  readonly gates?: readonly Gate[];
  /** Of a reboot that an operator asks for. */
  readonly rebootGates?: readonly Gate[];
  readonly reporters?: readonly Reporter[];
  readonly standingFaults?: readonly CheckResult[];
  readonly degraded?: readonly ErrorReport[];
  readonly isProofRequired?: boolean;
  /** Records what the boot showed of the loader, as the real agent does. */
  readonly isLoaderSettled?: boolean;
  /** Faults that close the gate of a degraded agent. */
  readonly gateFaults?: readonly ErrorReport[];
  readonly rules?: UpdateRules;
  /** Another journal than the node's. */
  readonly journal?: Journal;
}

/** What outlives the agents: the loader, the slots, the state directory, and the clock. Slot a is booted and proven. */
export class TestNode {
  readonly steps = new Steps();
  readonly clock = new ManualClock();
  readonly random = new SeededRandom();
  readonly bootloader = new MemoryBootloader();
  readonly registry = new TestRegistry();
  readonly link = new ManualLink();
  readonly checks = new ScriptedChecks(this.steps);
  readonly journal = new MemoryJournal((name) => this.steps.take(name));
  readonly keptOverReset: string[] = [];
  /** What a trial says of itself before its reboot. */
  trialEvidence: readonly EvidenceItem[] = [];
  readonly facts = new MemoryFacts((name) => this.steps.take(name));
  readonly records = new MemoryWrittenRecords();
  readonly devices: MemorySlotDevices;
  booted: SlotName = 'a';
  #boots = 0;

  constructor(sizeBytes = 16_384) {
    const partitions = { root: { sizeBytes } };
    this.devices = new MemorySlotDevices({ slots: { a: partitions, b: partitions } });
  }

  get bootId(): string {
    return `boot-${this.#boots}`;
  }

  /** The loader starts a slot, which the next agent runs in. */
  reboot(): SlotName {
    this.clock.reboot();
    this.#boots += 1;
    this.booted = this.bootloader.boot();
    return this.booted;
  }

  /** Starts an agent in the booted slot; its runner does not work before it is told. */
  async startAgent(options: AgentOptions = {}): Promise<TestAgent> {
    const slots = new SteppedSlots(
      new LocalSlotService({
        booted: this.booted,
        bootloader: this.bootloader,
        devices: this.devices,
        writer: new StreamingSlotWriter({ ...writerParts, devices: this.devices, bufferBytes: 4096 }),
        policy: this.registry,
        records: this.records,
        rebooter: { reboot: async () => undefined },
        messages: { write: async (text) => this.keptOverReset.push(text) > 0 },
        identity: { compatible: 'acme-gw-2', agentVersion: '1.4.0' },
      }),
      this.steps,
    );
    const facts = new FactsKeeper(this.facts);
    await facts.load();
    const started = await start({
      journal: options.journal ?? this.journal,
      slots,
      evidence: noEvidence(),
      clock: this.clock,
      rules: options.rules ?? rules,
      bootId: this.bootId,
    });
    const { clock, bootId } = this;
    if (options.isLoaderSettled === true)
      await settleLoader({ slots, facts, clock, bootId, loader: 'memory' }, started);
    return new TestAgent(this, facts, started, slots, options);
  }

  /** A whole update to `tag`, to its verdict and, after a failed one, back; the agent that saw the end. */
  async install(tag: string): Promise<TestAgent> {
    let agent = await this.startAgent();
    await agent.control.startUpdate(wanted(tag), undefined);
    await agent.run();
    while (agent.phase !== 'idle') {
      const end = await agent.end();
      if (end === 'stopped') throw new Error('the agent stopped');
      this.reboot();
      agent = await this.startAgent();
      await agent.run();
    }
    return agent;
  }
}

/** The code of the coded error that `action` rejects with. */
export async function codeOf(action: Promise<unknown>): Promise<unknown> {
  return action.then(
    () => 'no error',
    (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error),
  );
}
