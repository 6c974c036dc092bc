import type { Command } from 'commander';
import { bootVerdict } from '../health-verdict.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { CliError } from '../exit-codes.ts';
import { renderHealth } from '../render-health.ts';
import { renderSlots, renderStatus } from '../render-status.ts';
import { isLost, pauseOrGiveUp } from '../watch-update.ts';

const clearScreen = '\u001b[H\u001b[2J';
/** Progress changes the status many times a second. */
const redrawPauseMs = 250;

/** `status`, `slots`, `health`. */
export function addStatusCommands(program: Command, context: CliContext): void {
  const status = addCommand(program, {
    usage: 'status',
    description: 'Show slots, what boots, the update under way and what it waits for.',
    examples: ['status', 'status --watch', 'status --json'],
  }).option('--watch', 'show it anew at each change, until Ctrl-C; with --json one line each');
  perform<{ watch?: boolean }>(status, context, (invocation) =>
    invocation.options.watch === true ? watchStatus(invocation) : showStatus(invocation),
  );

  const slots = addCommand(program, {
    usage: 'slots',
    description: 'Show what is in each slot and what the loader says of it.',
    examples: ['slots'],
  });
  perform(slots, context, async (invocation) => {
    const { value, raw } = await invocation.api().slots();
    invocation.print(raw, renderSlots(value));
    return 0;
  });

  const health = addCommand(program, {
    usage: 'health',
    description: 'Show the health checks of the trial.',
    examples: ['health', 'health --wait'],
  }).option('--wait', 'wait while a trial runs; exit 0 only if the booted slot is proven');
  perform<{ wait?: boolean }>(health, context, (invocation) =>
    invocation.options.wait === true ? waitForHealth(invocation) : showHealth(invocation),
  );
}

async function showStatus(invocation: Invocation<object>): Promise<number> {
  const { value, raw } = await invocation.api().status();
  invocation.print(raw, renderStatus(value));
  return 0;
}

async function watchStatus(invocation: Invocation<object>): Promise<number> {
  const { io } = invocation;
  const api = invocation.api();
  const clear = io.isTerminal ? clearScreen : '';
  let etag: string | undefined;
  let lostAtMs: number | undefined;
  for (;;) {
    try {
      const found = await api.changedStatus(etag);
      lostAtMs = undefined;
      if (found !== undefined) {
        invocation.print(found.raw, `${clear}${renderStatus(found.value)}\n`);
        etag = found.etag;
      }
      await io.clock.sleep(redrawPauseMs, io.interrupted);
    } catch (error) {
      // Nothing was shown yet: then it is more likely that there is no daemon than that it is away for a moment.
      if (!isLost(error) || etag === undefined) throw error;
      lostAtMs ??= io.clock.monotonicMs();
      await pauseOrGiveUp(io, lostAtMs, 'cannot watch the status', error);
    }
  }
}

async function showHealth(invocation: Invocation<object>): Promise<number> {
  const { value, raw } = await invocation.api().health();
  invocation.print(raw, renderHealth(value));
  return 0;
}

async function waitForHealth(invocation: Invocation<object>): Promise<number> {
  const { io } = invocation;
  const api = invocation.api();
  let etag: string | undefined;
  let lostAtMs: number | undefined;
  for (;;) {
    try {
      const status = await api.changedStatus(etag);
      lostAtMs = undefined;
      if (status !== undefined) {
        const health = await api.health();
        const verdict = bootVerdict(status.value, health.value);
        if (verdict.kind === 'passed') {
          invocation.print(health.raw, renderHealth(health.value));
          return 0;
        }
        if (verdict.kind === 'failed') {
          throw new CliError(verdict.code, verdict.message, { details: { health: health.raw } });
        }
        etag = status.etag;
      }
      await io.clock.sleep(redrawPauseMs, io.interrupted);
    } catch (error) {
      if (!isLost(error)) throw error;
      // At boot kaond may be started again while this waits for it.
      etag = undefined;
      lostAtMs ??= io.clock.monotonicMs();
      await pauseOrGiveUp(io, lostAtMs, 'cannot wait for the health verdict', error);
    }
  }
}
