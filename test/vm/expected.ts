import { newerVersion } from './newer-kaon.ts';
import type { VmResult } from './scenario.ts';

/** What must hold of a node, each with what it is. */
type Held = Readonly<Record<string, boolean>>;

/** How an update ended, the newest one by itself: `rolled-back: health-failed`. */
export function outcome({ updates }: VmResult, index = 0): string {
  const { result = 'none', code } = updates[index]?.outcome ?? {};
  return code === undefined ? result : `${result}: ${code}`;
}

/** How often a line of the console has `text`, over all boots. */
export function count({ console }: VmResult, text: string): number {
  return console.filter((line) => line.includes(text)).length;
}

/** What holds of a node whose newest update is committed in slot b, with the image `version`. */
export function committed(result: VmResult, version: string): Held {
  return {
    [`the update is committed (it is ${outcome(result)})`]: outcome(result) === 'committed',
    'slot b runs': result.status.booted === 'b' && result.status.primary === 'b',
    'slot b holds the image': result.slotB === version,
    'no trial is left': result.loader.trial === undefined,
    'the agent is not degraded': result.status.degraded.length === 0,
    'no unit failed': result.failedUnits === '',
  };
}

/** What holds of a node back in slot a, whose only update ended in one of these ways. */
export function rolledBack(result: VmResult, ...outcomes: readonly string[]): Held {
  return {
    [`the update ended ${outcomes.join(' or ')} (it is ${outcome(result)})`]: outcomes.includes(outcome(result)),
    ...backInSlotA(result, 1),
  };
}

/** What holds of a node back in slot a, whose updates ended so, the oldest first. */
export function rolledBackInTurn(result: VmResult, ...outcomes: readonly string[]): Held {
  const ended = result.updates.map((_, index) => outcome(result, index)).toReversed();
  return {
    [`the updates ended ${outcomes.join(', ')} (they are ${ended.join(', ')})`]: ended.join() === outcomes.join(),
    // What an operator ended may be asked for again.
    ...backInSlotA(result, outcomes.filter((one) => one.startsWith('rolled-back')).length),
  };
}

function backInSlotA(result: VmResult, badDigests: number): Held {
  return {
    'slot a runs': result.status.booted === 'a' && result.status.primary === 'a',
    'slot b is bad': result.status.slots.find(({ name }) => name === 'b')?.state === 'bad',
    'each digest is known bad': result.status.knownBad.length === badDigests,
    'no trial is left': result.loader.trial === undefined,
  };
}

/** What holds once a bad image, the same one again and a good one were asked for. */
export function refusedAfterRollback(result: VmResult): Held {
  return {
    'the image that rolled back was refused': outcome(result, 1) === 'failed: known-bad',
    'it rolled back first': outcome(result, 2) === 'rolled-back: health-failed',
    'that image alone is known bad': result.status.knownBad.length === 1,
  };
}

/** What holds where PID 1 stood still in both tries of a trial. */
export function initFroze(result: VmResult): Held {
  return {
    'systemd fed the watchdog in each try': count(result, 'the watchdog is fed') === 2,
    'the watchdog ended each try': count(result, 'Software Watchdog Timer expired') >= 2,
  };
}

/** What holds once a newer kaon stored its state in an image that failed, and a good image without kaon-check followed. */
export function newerThenWithoutCheck(result: VmResult): Held {
  return {
    'without kaon-check, kaond ran the checks': count(result, 'kaond runs health checks itself') > 0,
    'the newer agent ran': result.console.some((line) => line.includes(`kaond ${newerVersion} started`)),
    'the older one runs': result.status.agentVersion !== newerVersion,
    'it knows what the newer one found bad': result.status.knownBad.length === 1,
    'it kept what it does not know': result.facts.every((copy) => copy.includes('"newerFact":"kept"')),
  };
}
