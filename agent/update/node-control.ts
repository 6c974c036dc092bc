import type { HoldView, RateLimitView } from '../core/control.ts';
import { AgentError, reportOf } from '../core/errors.ts';
import { clearKnownBad, type FactsData } from '../core/facts.ts';
import type { Clock, SlotService } from '../core/ports.ts';
import { activeHold } from '../core/status.ts';
import type { SlotName } from '../core/update-state.ts';
import type { DownloadPacer } from './download-pacer.ts';
import type { EventLog } from './event-log.ts';
import type { FactsKeeper } from './facts-keeper.ts';
import { type HeldReboot, mayReboot } from './held-reboot.ts';
import { beginLoaderTest } from './loader-test.ts';
import type { NodeReader } from './node-reader.ts';
import { refuseWhileActive } from './phase-checks.ts';
import type { UpdateRunner } from './runner.ts';

/** What an operator may do to the node itself, outside of updates; each deed is an event. */
export class NodeControl {
  readonly #ports: {
    readonly runner: UpdateRunner;
    readonly facts: FactsKeeper;
    readonly slots: SlotService;
    readonly nodeReader: NodeReader;
    readonly events: EventLog;
    readonly pacer: DownloadPacer;
    readonly heldReboot: HeldReboot;
    readonly clock: Clock;
    readonly bootId: string;
  };

  constructor(ports: {
    runner: UpdateRunner;
    facts: FactsKeeper;
    slots: SlotService;
    nodeReader: NodeReader;
    events: EventLog;
    pacer: DownloadPacer;
    heldReboot: HeldReboot;
    clock: Clock;
    bootId: string;
  }) {
    this.#ports = ports;
  }

  /** Resolves to what holds the reboot back, `undefined` where it begins or the status of its update tells. */
  async reboot(): Promise<string | undefined> {
    const { runner, clock, heldReboot } = this.#ports;
    const { phase } = runner.state;
    if (phase === 'activated') {
      await runner.dispatch({ type: 'reboot-asked', atMs: clock.nowMs() });
      return undefined;
    }
    if (!mayReboot(phase)) {
      throw new AgentError('update-phase-wrong', `cannot reboot: the update is ${phase}`, { details: { phase } });
    }
    return heldReboot.ask(() => runner.state.phase);
  }

  async testLoader(): Promise<void> {
    refuseWhileActive(this.#ports.runner.state, 'test the loader');
    await beginLoaderTest(this.#ports);
    this.#changed('loader-test-begun', 'an operator tests the loader: the next boot shows whether it writes back', {});
    // Not waited for: the reboot may end this process before the operator has an answer.
    void this.#rebootForTest();
  }

  async #rebootForTest(): Promise<void> {
    try {
      await this.#ports.slots.reboot('loader-test');
    } catch (error) {
      const { code, message } = reportOf(error);
      this.#changed('reboot-failed', `the loader's test waits for a reboot: ${message}`, { code });
    }
  }

  async markGood(slot: SlotName): Promise<void> {
    const node = await this.#ports.slots.readNode();
    if (slot !== node.booted) {
      throw new AgentError(
        'update-phase-wrong',
        `cannot mark slot ${slot} good: only the booted slot ${node.booted} can prove itself`,
      );
    }
    refuseWhileActive(this.#ports.runner.state, 'mark a slot good');
    await this.#ports.slots.markGood(slot);
    this.#changed('slot-marked-good', `an operator marked slot ${slot} good`, { slot });
  }

  async markBad(slot: SlotName): Promise<void> {
    const node = await this.#ports.slots.readNode();
    if (slot === node.booted) {
      throw new AgentError(
        'update-phase-wrong',
        `cannot mark slot ${slot} bad: it is booted; use a rollback, which goes through a trial`,
      );
    }
    refuseWhileActive(this.#ports.runner.state, 'mark a slot bad');
    await this.#ports.slots.markBad(slot);
    this.#changed('slot-marked-bad', `an operator marked slot ${slot} bad`, { slot });
  }

  async clearKnownBad(digest: string): Promise<boolean> {
    const { facts } = this.#ports;
    const wasKnown = facts.data.knownBad.some((entry) => entry.digest === digest);
    if (wasKnown) {
      await facts.change((data) => clearKnownBad(data, digest));
      this.#changed('known-bad-cleared', `an operator cleared ${digest}`, { digest });
    }
    return wasKnown;
  }

  async confirmFacts(): Promise<void> {
    await this.#ports.facts.confirmLoss();
    this.#changed('facts-confirmed', 'an operator confirmed the loss of the security facts', {});
  }

  hold(): HoldView | undefined {
    return activeHold(this.#ports.facts.data, this.#ports.clock.nowMs());
  }

  async setHold(reason: string, untilMs: number | undefined): Promise<void> {
    await this.#ports.facts.change((data): FactsData => ({ ...data, hold: { reason, untilMs } }));
    this.#changed('hold-set', `an operator holds updates: ${reason}`, { untilMs });
  }

  async clearHold(): Promise<void> {
    await this.#ports.facts.change((data) => (data.hold === undefined ? data : { ...data, hold: undefined }));
    this.#changed('hold-cleared', 'an operator lifted the hold', {});
    this.#ports.runner.poke();
  }

  rateLimit(): RateLimitView {
    return this.#ports.pacer.limit;
  }

  async setRateLimit(bytesPerSecond: number | null): Promise<void> {
    await this.#ports.facts.change((data): FactsData => ({ ...data, downloadRate: { bytesPerSecond } }));
    const text =
      bytesPerSecond === null ? 'lifted the limit of downloads' : `limits downloads to ${bytesPerSecond} B/s`;
    this.#changed('rate-limit-set', `an operator ${text}`, { bytesPerSecond });
  }

  async clearRateLimit(): Promise<void> {
    await this.#ports.facts.change(({ downloadRate, ...data }) =>
      downloadRate === undefined ? this.#ports.facts.data : data,
    );
    this.#changed('rate-limit-cleared', 'the configured limit of downloads holds again', {});
  }

  #changed(kind: string, message: string, details: Readonly<Record<string, unknown>>): void {
    this.#ports.nodeReader.invalidate();
    this.#ports.events.report({ atMs: this.#ports.clock.nowMs(), updateId: undefined, kind, message, details });
  }
}
