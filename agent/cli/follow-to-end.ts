import type { OutcomeAnswer, UpdateAnswer } from './answers.ts';
import type { ApiClient } from './client.ts';
import { CliError, exitCodeOf, interruptedExitCode } from './exit-codes.ts';
import { printable } from './format-values.ts';
import type { Invocation } from './invocation.ts';
import { transferText } from './render-transfer.ts';
import { watchUpdate, type WatchEnd } from './watch-update.ts';

/**
 * Follows an update to its end and tells it: 0 for what was wanted, 130 for Ctrl-C, which leaves the update alone. Rejects
 * with the code that the update ended with, or that following it failed with.
 */
export async function followToEnd(
  invocation: Invocation<object>,
  api: ApiClient,
  id: string,
  until: 'staged' | 'activated' | 'committed',
): Promise<number> {
  const { io } = invocation;
  let end: WatchEnd;
  try {
    end = await watchUpdate(io, api, id, until);
  } catch (error) {
    if (!io.interrupted.aborted) throw error;
    invocation.print({ updateId: id, isDetached: true }, '');
    const shown = printable(id);
    io.err(`update ${shown} goes on; follow it with: kaonctl status --watch; end it with: kaonctl cancel ${shown}\n`);
    return interruptedExitCode;
  }
  switch (end.kind) {
    case 'rebooting': {
      const { phase, slot } = end;
      const where = slot === undefined ? '' : ` for slot ${slot}`;
      const text = `the node reboots: update ${id} is ${phase}${where}; see kaonctl status after that`;
      invocation.print({ updateId: id, isRebooting: true, phase, slot }, `${printable(text)}\n`);
      return 0;
    }
    case 'reached': {
      const { value, raw } = await api.update(id);
      const where = end.slot === undefined ? '' : ` in slot ${end.slot}`;
      const next = end.phase === 'staged' ? 'activate it with: kaonctl activate' : 'try it with: kaonctl reboot';
      invocation.print(raw, `update ${printable(id)} is ${end.phase}${where}${movedBy(value)}; ${next}\n`);
      return 0;
    }
    case 'ended':
      return tellOutcome(invocation, api, end.outcome);
  }
}

async function tellOutcome(invocation: Invocation<object>, api: ApiClient, outcome: OutcomeAnswer): Promise<number> {
  const { updateId, result, code, message, digest } = outcome;
  const isDone = code === undefined ? result === 'committed' : exitCodeOf(code) === 0;
  if (!isDone) {
    const reason = message === undefined ? `it ended ${result}` : `${result}: ${message}`;
    throw new CliError(code ?? 'internal', `cannot finish update ${updateId}: ${reason}`, { details: { outcome } });
  }
  const { value, raw } = await api.update(updateId);
  const what = code === undefined ? 'is committed' : `had nothing to do: ${message ?? code}`;
  const which = digest === undefined ? '' : ` (${digest})`;
  invocation.print(raw, `update ${printable(updateId)} ${printable(what)}${printable(which)}${movedBy(value)}\n`);
  return 0;
}

function movedBy({ transfer }: UpdateAnswer): string {
  return transfer === undefined ? '' : `: ${transferText(transfer)}`;
}
