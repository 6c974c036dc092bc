import type { UpdateView } from '../core/control.ts';
import type { Journal, Transfer, UpdateRecord } from '../core/ports.ts';
import { currentUpdate } from '../core/status.ts';
import type { EventLog } from './event-log.ts';
import type { UpdateRunner } from './runner.ts';
import type { TransferMeter } from './transfer-meter.ts';

interface ViewPorts {
  readonly runner: UpdateRunner;
  readonly events: EventLog;
  readonly meter: TransferMeter;
  readonly journal: Journal;
}

/** What the update under way moved so far; `undefined` where nothing is known of it. Never rejects. */
export async function transferNow({ runner, meter, journal }: ViewPorts): Promise<Transfer | undefined> {
  const { state } = runner;
  if (state.phase === 'idle') return undefined;
  // A history that cannot be read must not make the status unreadable.
  return meter.of(state.update.id) ?? (await journal.update(state.update.id).catch(() => undefined))?.transfer;
}

/** The update of `record` with where it stands now. */
export function viewOf({ runner, events, meter }: Omit<ViewPorts, 'journal'>, record: UpdateRecord): UpdateView {
  const { state } = runner;
  if (state.phase === 'idle' || state.update.id !== record.request.id) {
    return { ...record, phase: 'idle', current: undefined };
  }
  const transfer = meter.of(state.update.id) ?? record.transfer;
  return { ...record, transfer, phase: state.phase, current: currentUpdate(state, events.progressNow, transfer) };
}
