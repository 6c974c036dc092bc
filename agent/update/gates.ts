import type { ErrorReport } from '../core/errors.ts';
import type { Clock, Gate } from '../core/ports.ts';
import { activeHold } from '../core/status.ts';
import type { FactsKeeper } from './facts-keeper.ts';

/** Closed for good while the agent is degraded: it starts no download and arms nothing. */
export function degradedGate(faults: readonly ErrorReport[]): Gate {
  return {
    name: 'agent',
    at: ['download', 'reboot'],
    ask: async () => {
      const [first] = faults;
      if (first === undefined) return { isOpen: true };
      const text = `the agent is degraded: ${first.message}`;
      return { isOpen: false, code: 'agent-degraded', text, untilMs: undefined };
    },
  };
}

/** Closed while an operator holds updates. */
export function holdGate(facts: FactsKeeper, clock: Clock): Gate {
  return {
    name: 'hold',
    at: ['download', 'reboot'],
    ask: async () => {
      const hold = activeHold(facts.data, clock.nowMs());
      if (hold === undefined) return { isOpen: true };
      const text = `an operator holds updates: ${hold.reason}`;
      return { isOpen: false, code: 'update-held', text, untilMs: hold.untilMs };
    },
  };
}
