import { reportOf } from '../core/errors.ts';
import type { Clock, GateAnswer, SlotService } from '../core/ports.ts';
import type { Phase, UpdateRequest } from '../core/update-state.ts';
import type { EventLog } from './event-log.ts';

const askIntervalMs = 10_000;

/** Who may hold a reboot back that belongs to no update. */
export interface RebootGate {
  ask(reboot: Pick<UpdateRequest, 'id'>): Promise<GateAnswer>;
}

/** Whether a plain reboot breaks nothing off that is under way. */
export function mayReboot(phase: Phase): boolean {
  return phase === 'idle' || phase === 'staged' || phase === 'preparing';
}

/**
 * A reboot that an operator asked for while no slot is armed. It waits for those who block shutdowns as long as an update's
 * does, and is forgotten when the agent ends.
 */
export class HeldReboot {
  readonly #ports: {
    readonly gates: readonly RebootGate[];
    readonly slots: Pick<SlotService, 'reboot'>;
    readonly events: Pick<EventLog, 'report'>;
    readonly clock: Clock;
  };
  readonly #ending = new AbortController();
  #asked = 0;
  #isWaiting = false;

  constructor(ports: {
    gates: readonly RebootGate[];
    slots: Pick<SlotService, 'reboot'>;
    events: Pick<EventLog, 'report'>;
    clock: Clock;
  }) {
    this.#ports = ports;
  }

  /**
   * Reboots, or begins to wait; a second ask joins a wait that is under way. `phase` tells where the node stands. Resolves to
   * what holds the reboot back, `undefined` once it was accepted. Rejects with `reboot-failed`.
   */
  async ask(phase: () => Phase): Promise<string | undefined> {
    if (!this.#isWaiting) this.#asked += 1;
    const held = await this.#whatHolds();
    if (held === undefined) {
      await this.#ports.slots.reboot();
      return undefined;
    }
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.#tell('reboot-held', `the reboot that an operator asked for waits: ${held}`);
      void this.#wait(phase);
    }
    return held;
  }

  /** Forgets a reboot that waits. */
  end(): void {
    this.#ending.abort(new Error('the agent ends'));
  }

  async #wait(phase: () => Phase): Promise<void> {
    try {
      do {
        await this.#ports.clock.sleep(askIntervalMs, this.#ending.signal);
        // What an update began meanwhile goes on first.
      } while (!mayReboot(phase()) || (await this.#whatHolds()) !== undefined);
      this.#tell('reboot-begun', 'nothing holds the reboot any more that an operator asked for');
      await this.#ports.slots.reboot();
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      const { code, message } = reportOf(error);
      this.#tell('reboot-failed', `the reboot that an operator asked for failed: ${message}`, { code });
    } finally {
      this.#isWaiting = false;
    }
  }

  async #whatHolds(): Promise<string | undefined> {
    for (const gate of this.#ports.gates) {
      const answer = await gate.ask({ id: `reboot-${this.#asked}` });
      if (!answer.isOpen) return answer.text;
    }
    return undefined;
  }

  #tell(kind: string, message: string, details: Readonly<Record<string, unknown>> = {}): void {
    this.#ports.events.report({ atMs: this.#ports.clock.nowMs(), updateId: undefined, kind, message, details });
  }
}
