import { AgentError } from '../core/errors.ts';
import type { CheckProgress, Clock, HealthChecks, SlotService } from '../core/ports.ts';
import type { Probation } from '../core/probation.ts';
import type { UpdateEvent } from '../core/update-events.ts';
import type { SlotName } from '../core/update-state.ts';
import { verdictOf } from '../core/verdict.ts';
import type { FactsKeeper } from './facts-keeper.ts';
import type { UpdateMemory } from './update-memory.ts';

interface WatchPorts {
  readonly health: HealthChecks;
  readonly slots: SlotService;
  readonly facts: FactsKeeper;
  readonly clock: Clock;
  /** Time between two rounds. */
  readonly watchIntervalMs: number;
  readonly onCheck: (progress: CheckProgress) => void;
}

/** Watches a committed slot in probation. */
export class HealthWatch {
  readonly #ports: WatchPorts;

  constructor(ports: WatchPorts) {
    this.#ports = ports;
  }

  /** Waits for the time of the next round and runs the checks once more. Rejects with the reason of `signal`. */
  async round(probation: Probation | undefined, memory: UpdateMemory, signal: AbortSignal): Promise<UpdateEvent> {
    if (probation === undefined) throw new AgentError('internal', 'cannot watch the health: there is no probation');
    const { health, clock, watchIntervalMs, onCheck } = this.#ports;
    const startMs = clock.monotonicMs();
    await clock.sleep(probation.leftMs > 0 ? Math.min(probation.leftMs, watchIntervalMs) : watchIntervalMs, signal);
    const { isPassed, message, evidence } = verdictOf(await health.watch(onCheck, signal, probation.baseline));
    const watchedMs = clock.monotonicMs() - startMs;
    const isFallbackGood = await this.#isFallback(probation.target.previous, memory);
    return { type: 'probation-checked', isPassed, message, evidence, watchedMs, isFallbackGood, atMs: clock.nowMs() };
  }

  /** Whether `slot` may run again: the loader holds it for good, and nothing stands against what is in it. */
  async #isFallback(slot: SlotName, { deployments }: UpdateMemory): Promise<boolean> {
    const node = await this.#ports.slots.readNode().catch(() => undefined);
    const state = node?.boot.slots[slot].state;
    if (state !== 'good' && state !== 'unrenewed') return false;
    const { knownBad, rollbackFloor } = this.#ports.facts.data;
    const held = deployments[slot];
    const isKnownBad = knownBad.some(({ digest }) => digest === held?.digest);
    return (held?.rollbackIndex ?? rollbackFloor) >= rollbackFloor && !isKnownBad;
  }
}
