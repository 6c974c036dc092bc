import { errorTable, isErrorCode } from '../core/errors.ts';
import type { StatusAnswer } from './answers.ts';
import type { Failure } from './exit-codes.ts';
import { formatTime } from './format-values.ts';
import { loaderText } from './render-bootloader.ts';
import { bootsText } from './render-status.ts';

/** One thing that the doctor looked at. */
export interface Finding {
  readonly name: string;
  readonly result: 'ok' | 'warn' | 'fail';
  readonly text: string;
  readonly fix?: string;
}

/** No node ran this agent before: a clock that says so was never set. */
const earliestMs = Date.UTC(2025, 0, 1);
/** Clocks of two processes of one node are the same; a day allows for a clock that was set in between. */
const clockSlackMs = 24 * 3_600_000;

/** That kaond can't be asked: all that can be said of it then. */
export function unreachableFinding({ message, fix }: Failure): Finding {
  return { name: 'daemon', result: 'fail', text: message, fix };
}

/** What is well and what is not, from a status and the time of this node. */
export function examine(status: StatusAnswer, nowMs: number): readonly Finding[] {
  return [
    { name: 'daemon', result: 'ok', text: `kaond ${status.agentVersion} answers` },
    ...degradedFindings(status),
    loaderFinding(status),
    ...countingFindings(status),
    ...noteFindings(status),
    bootedFinding(status),
    nextBootFinding(status),
    fallbackFinding(status),
    factsFinding(status),
    holdFinding(status),
    knownBadFinding(status),
    ...probationFindings(status),
    ...offerFindings(status),
    clockFinding(status, nowMs),
  ];
}

function degradedFindings({ degraded }: StatusAnswer): readonly Finding[] {
  if (degraded.length === 0) return [{ name: 'degraded', result: 'ok', text: 'the agent is not degraded' }];
  return degraded.map(({ code, message }) => ({
    name: 'degraded',
    result: 'fail',
    text: `${message} (${code})`,
    fix: isErrorCode(code) ? errorTable[code].fix : 'See journalctl -u kaond.',
  }));
}

function loaderFinding({ slots, booted }: StatusAnswer): Finding {
  const name = 'loader';
  if (slots.length === 0 || booted === undefined) {
    return { name, result: 'fail', text: 'the loader cannot be read', fix: 'See journalctl -u kaon-slotd.' };
  }
  return { name, result: 'ok', text: slots.map((slot) => `slot ${slot.name} is ${slot.loaderState}`).join(', ') };
}

function countingFindings(status: StatusAnswer): readonly Finding[] {
  const name = 'boot counting';
  const { hasLoaderCounted, loader } = status;
  if (hasLoaderCounted === undefined && loader === undefined) return [];
  const text = loaderText(status);
  if (hasLoaderCounted === false) {
    const fix = 'Put its environment where it can write: ext or FAT on a plain disk, no LVM, RAID or btrfs.';
    return [{ name, result: 'fail', text, fix }];
  }
  if (hasLoaderCounted === true || loader?.isProven === true) return [{ name, result: 'ok', text }];
  const fix =
    loader?.isTestable === false ? 'Try an update on a node at hand.' : 'Run kaonctl bootloader selftest --reboot.';
  return [{ name, result: 'warn', text, fix }];
}

function noteFindings({ loader }: StatusAnswer): readonly Finding[] {
  const fix = 'See the page of the loader in bootloader/docs.';
  return (loader?.notes ?? []).map((text) => ({ name: 'loader', result: 'warn', text, fix }));
}

function bootedFinding({ slots, phase }: StatusAnswer): Finding {
  const name = 'booted slot';
  const slot = slots.find(({ isBooted }) => isBooted);
  if (slot === undefined) {
    return { name, result: 'fail', text: 'which slot runs is not known', fix: 'See journalctl -u kaon-slotd.' };
  }
  if (slot.state === 'good') return { name, result: 'ok', text: `slot ${slot.name} runs and is proven` };
  if (phase === 'trial' || phase === 'committing') {
    return { name, result: 'warn', text: `slot ${slot.name} is in its trial`, fix: 'Wait: kaonctl health --wait.' };
  }
  return {
    name,
    result: 'fail',
    text: `slot ${slot.name} runs and is ${slot.state} at the loader, with no trial that would prove it`,
    fix: `When the node is well: kaonctl mark good ${slot.name}.`,
  };
}

function nextBootFinding(status: StatusAnswer): Finding {
  const name = 'next boot';
  const { booted, primary, current } = status;
  const text = bootsText(status);
  if (booted !== undefined && booted === primary) return { name, result: 'ok', text };
  if (primary !== undefined && current?.target?.slot === primary) {
    return { name, result: 'ok', text: `${text}: update ${current.request.id} is ${current.phase}` };
  }
  return {
    name,
    result: 'warn',
    text: `${text}, and no update explains it`,
    fix: 'See kaonctl events; kaonctl update or kaonctl mark decide what boots.',
  };
}

function fallbackFinding({ slots, current }: StatusAnswer): Finding {
  const name = 'fallback';
  const other = slots.find(({ isBooted }) => !isBooted);
  if (other?.state === 'good') return { name, result: 'ok', text: `slot ${other.name} is good` };
  const isBeingWritten = other !== undefined && current?.target?.slot === other.name;
  return {
    name,
    result: 'warn',
    text:
      other === undefined
        ? 'the other slot is not known'
        : `slot ${other.name} is ${other.state}${isBeingWritten ? `: update ${current.request.id} is about to fill it` : ': nothing takes over if the booted slot fails'}`,
    fix: isBeingWritten ? 'Let the update finish.' : 'Install an image: kaonctl update IMAGE.',
  };
}

function factsFinding({ waitingFor }: StatusAnswer): Finding {
  const name = 'facts';
  const lost = waitingFor.find(({ code }) => code === 'facts-lost');
  if (lost === undefined) return { name, result: 'ok', text: 'the security facts are there' };
  return { name, result: 'fail', text: lost.text, fix: errorTable['facts-lost'].fix };
}

function holdFinding({ holdUntil }: StatusAnswer): Finding {
  if (holdUntil === undefined) return { name: 'hold', result: 'ok', text: 'updates are not on hold' };
  const { reason, until } = holdUntil;
  const text = `updates are on hold${until === undefined ? '' : ` until ${formatTime(until)}`}: ${reason}`;
  return { name: 'hold', result: 'warn', text, fix: 'Lift it with kaonctl hold clear.' };
}

function knownBadFinding({ knownBad }: StatusAnswer): Finding {
  if (knownBad.length === 0) return { name: 'known bad', result: 'ok', text: 'no image rolled back here' };
  return {
    name: 'known bad',
    result: 'warn',
    text: `${knownBad.length} images rolled back here and are not tried again`,
    fix: 'Find out why (kaonctl rollbacks); then kaonctl known-bad clear DIGEST.',
  };
}

function probationFindings({ probation }: StatusAnswer): readonly Finding[] {
  if (probation === undefined) return [];
  const name = 'probation';
  const { alarm, slot } = probation;
  if (alarm === undefined) return [{ name, result: 'ok', text: `slot ${slot} is still checked on, and well so far` }];
  const text = `the checks of slot ${slot} fail since ${formatTime(alarm.at)}: ${alarm.message}`;
  return [{ name, result: 'fail', text, fix: 'See kaonctl health; kaonctl rollback tries the other slot.' }];
}

function offerFindings({ offers }: StatusAnswer): readonly Finding[] {
  if (offers?.reportAfterMs === undefined) return [];
  const name = 'offers';
  const { alarm, quietSinceAt, contactAt } = offers;
  const text = `the newest image was verified at ${formatTime(quietSinceAt)}`;
  if (alarm === undefined) return [{ name, result: 'ok', text }];
  const answered = `a registry last answered at ${formatTime(contactAt)}`;
  const fix =
    'Ask whoever publishes whether there is a newer release; if so, something between holds back the tags or triggers.';
  return [{ name, result: 'warn', text: `${alarm.message}; ${answered}`, fix }];
}

function clockFinding({ startedAt }: StatusAnswer, nowMs: number): Finding {
  const now = new Date(nowMs).toISOString();
  const fix = 'Set the clock: certificates, triggers and the ends of holds are judged by it.';
  if (nowMs < earliestMs) return { name: 'clock', result: 'fail', text: `it says ${formatTime(now)}`, fix };
  if (Date.parse(startedAt) > nowMs + clockSlackMs) {
    const text = `it says ${formatTime(now)}, and kaond started at ${formatTime(startedAt)}`;
    return { name: 'clock', result: 'fail', text, fix };
  }
  return { name: 'clock', result: 'ok', text: `it says ${formatTime(now)}` };
}
