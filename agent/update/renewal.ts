import { renewalDelayMs } from '../core/endings.ts';
import { type ErrorReport, reportOf } from '../core/errors.ts';
import type { Clock, SlotService } from '../core/ports.ts';
import type { UpdateRules } from '../core/update-events.ts';
import type { SlotName } from '../core/update-state.ts';

/**
 * Renews the markers of the proven slot that runs, which could not be renewed at the start, again and again with growing
 * waits: each boot without it is one that the loader counts against a good slot. Resolves to whether it did, `false` when
 * `signal` aborts first. `onFailure` hears each failed attempt.
 */
export async function renewMarkers(
  ports: { readonly slots: SlotService; readonly clock: Clock; readonly rules: UpdateRules },
  booted: SlotName,
  onFailure: (report: ErrorReport) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const { slots, clock, rules } = ports;
  for (let attempts = 1; !signal.aborted; attempts += 1) {
    const isOver = await clock.sleep(renewalDelayMs(rules, attempts), signal).then(
      () => false,
      () => true,
    );
    if (isOver) break;
    try {
      await slots.markGood(booted);
      return true;
    } catch (error) {
      onFailure(reportOf(error));
    }
  }
  return false;
}
