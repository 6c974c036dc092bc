import {
  committed,
  count,
  initFroze,
  newerThenWithoutCheck,
  outcome,
  refusedAfterRollback,
  rolledBack,
  rolledBackInTurn,
} from './expected.ts';
import type { Behaviour, ImageShop, Signer, VmImage } from './images.ts';
import { playLife } from './life.ts';
import { playLostFlushes } from './lost-flushes.ts';
import { rollbackOf } from './rollbacks.ts';
import type { Life, Scenario } from './scenario.ts';

const one =
  (behaviour: Behaviour, signer: Signer = 'release') =>
  async (shop: ImageShop): Promise<readonly VmImage[]> => [await shop.push('v2', behaviour, signer)];

/** Where lives are cut. */
const cutOf = {
  write: { line: /the image is verified; writing slot b/, afterMs: 2500 },
  reboot: { line: /is primary with its tries; the reboot is next/, afterMs: 0 },
  // The agent has noted the boot; its verdict follows a moment later.
  trial: { line: /"event":"agent-started"/, afterMs: 0 },
} as const;

/** Where the nth boot of an update is cut, so that it is in slot a three times and armed twice. */
const allCuts = [cutOf.write, cutOf.reboot, cutOf.trial, cutOf.trial] as const;

function life(name: string, one: Life): Scenario {
  const { covers = [], isMostlyWaiting = false, boots = 3 } = one;
  return {
    name,
    covers,
    isMostlyWaiting,
    boots,
    play: (stage, folder, signal) => playLife(stage, folder, one, signal),
  };
}

/** What every loader shows: an image that panics, one whose check fails as `bad` says, and a good one. */
function goodAfter(name: string, bad: keyof typeof rollbackOf, boots = 7): Scenario {
  return life(name, {
    boots,
    covers: ['upgrade', 'panic', 'failed health'],
    images: async (shop) => [
      await shop.push('v2', 'panic'),
      await shop.push('v3', bad),
      await shop.push('v4', 'healthy'),
    ],
    rollbacks: [rollbackOf.panic, rollbackOf[bad]],
    expect: (result) => ({
      ...committed(result, 'v4-healthy-release'),
      'the panic rolled back': outcome(result, 2) === 'rolled-back: boot-tries-exhausted',
      'the failed check rolled back': outcome(result, 1) === 'rolled-back: health-failed',
      'both digests are known bad': result.status.knownBad.length === 2,
    }),
  });
}

/** Every life that is tried, by the names that README.md has. */
export const scenarios: readonly Scenario[] = [
  life('upgrade', { images: one('healthy'), expect: (result) => committed(result, 'v2-healthy-release') }),
  life('panic', {
    images: one('panic'),
    rollbacks: [rollbackOf.panic],
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  }),
  life('dies early', {
    images: one('dies-early'),
    rollbacks: [rollbackOf['dies-early']],
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  }),
  life('hangs', {
    isMostlyWaiting: true,
    images: one('hangs'),
    rollbacks: [rollbackOf.hangs],
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  }),
  life('no agent', {
    isMostlyWaiting: true,
    images: one('no-agent'),
    rollbacks: [rollbackOf['no-agent']],
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  }),
  life('agent crashes', {
    isMostlyWaiting: true,
    images: one('agent-crashes'),
    rollbacks: [rollbackOf['agent-crashes']],
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  }),
  life('config refused', {
    images: one('config-refused'),
    rollbacks: [rollbackOf['config-refused']],
    expect: (result) => rolledBack(result, 'rolled-back: health-failed'),
  }),
  life('failed health', {
    images: one('unhealthy'),
    rollbacks: [rollbackOf.unhealthy],
    expect: (result) => rolledBack(result, 'rolled-back: health-failed'),
  }),
  life('broken systems', {
    boots: 7,
    covers: ['panic', 'dies early', 'hangs'],
    isMostlyWaiting: true,
    images: async (shop) => [await shop.push('v2', 'panic'), await shop.push('v3', 'dies-then-hangs')],
    rollbacks: [rollbackOf.panic, rollbackOf['dies-then-hangs']],
    expect: (result) => ({
      ...rolledBackInTurn(result, 'rolled-back: boot-tries-exhausted', 'rolled-back: boot-tries-exhausted'),
      'init ended one try': count(result, 'Attempted to kill init! exitcode=0x00000100') > 0,
      'the guard ended the other': count(result, 'nobody marked it good in time: rebooting') === 1,
    }),
  }),
  life('broken agents', {
    boots: 6,
    covers: ['no agent', 'agent crashes', 'config refused', 'unsigned'],
    isMostlyWaiting: true,
    images: async (shop) => [
      await shop.push('v2', 'absent-then-crashes'),
      await shop.push('v3', 'config-refused'),
      await shop.push('v4', 'healthy', 'stranger'),
    ],
    rollbacks: [rollbackOf['absent-then-crashes'], rollbackOf['config-refused']],
    expect: (result) => ({
      [`the stranger's image was refused (it is ${outcome(result)})`]: outcome(result) === 'failed: signer-untrusted',
      ...rolledBackInTurn(
        { ...result, updates: result.updates.slice(1) },
        'rolled-back: boot-tries-exhausted',
        'rolled-back: health-failed',
      ),
      'kaond was missing, then it ended at once':
        count(result, 'status=203/EXEC') > 0 &&
        count(result, 'kaond.service: Main process exited, code=exited, status=1/FAILURE') > 0,
      'slot b is not bootable': !result.loader.canBoot.b,
    }),
  }),
  life('init freezes', {
    isMostlyWaiting: true,
    images: one('init-freezes'),
    rollbacks: [rollbackOf['init-freezes']],
    expect: (result) => ({
      ...rolledBack(result, 'rolled-back: boot-tries-exhausted'),
      ...initFroze(result),
    }),
  }),
  life('taken back', {
    boots: 8,
    covers: ['init freezes'],
    isMostlyWaiting: true,
    images: async (shop) => [
      await shop.push('v2', 'init-freezes'),
      await shop.push('v3', 'cancelled'),
      await shop.push('v4', 'breaks-later'),
    ],
    rollbacks: [rollbackOf['init-freezes'], rollbackOf.cancelled, rollbackOf['breaks-later']],
    expect: (result) => ({
      ...rolledBackInTurn(
        result,
        'rolled-back: boot-tries-exhausted',
        'cancelled: update-cancelled',
        'rolled-back: health-failed',
      ),
      ...initFroze(result),
      'the last one failed in its probation': (result.rollbacks[0]?.message ?? '').startsWith('in probation: '),
      'it ran as a committed one': result.history.at(-2) === 'B v4',
    }),
  }),
  // On arm64, whose boots take the longest.
  goodAfter('good after bad', 'unhealthy', 10),
  goodAfter('good after a failed unit', 'unit-fails'),
  goodAfter('good after greenboot', 'greenboot-fails'),
  life('unsigned', {
    images: one('healthy', 'stranger'),
    expect: (result) => ({
      'the update was refused': outcome(result) === 'failed: signer-untrusted',
      'the node made one boot': result.boots === 1,
      'slot b is not bootable': !result.loader.canBoot.b,
    }),
  }),
  life('cut in the write', {
    images: one('healthy'),
    cut: (boot) => (boot === 1 ? cutOf.write : undefined),
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      'the node booted slot a again': result.history[1]?.startsWith('A ') === true,
    }),
  }),
  life('cut in the trial', {
    images: one('healthy'),
    cut: (boot) => (boot === 2 ? cutOf.trial : undefined),
    expect: (result) => committed(result, 'v2-healthy-release'),
  }),
  life('cut in every trial', {
    covers: ['cut in the trial'],
    images: one('healthy'),
    hasWatchdog: true,
    cut: (boot) => (boot === 2 || boot === 3 ? cutOf.trial : undefined),
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      // The trials that were cut never came as far as the scenario's script; the guard of a busy machine may end one more.
      'slot a ran in between': /^A v1,A v1(,B v2)+$/.test(result.history.join()),
      'the loader was armed once more': count(result, '"event":"armed"') === 2,
      'it was not held against the image': result.status.knownBad.length === 0,
    }),
  }),
  life('cut before the reboot', {
    images: one('healthy'),
    cut: (boot) => (boot === 1 ? cutOf.reboot : undefined),
    expect: (result) => committed(result, 'v2-healthy-release'),
  }),
  life('cut again and again', {
    boots: 6,
    covers: ['cut in the write', 'cut before the reboot', 'cut in the trial', 'cut in every trial'],
    images: one('healthy'),
    hasWatchdog: true,
    cut: (boot) => allCuts[boot - 1],
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      'slot a ran in between': /^A v1,A v1,A v1(,B v2)+$/.test(result.history.join()),
      'the loader was armed once more': count(result, '"event":"armed"') === 2,
      'it was not held against the image': result.status.knownBad.length === 0,
    }),
  }),
  life('after a rollback', {
    covers: ['failed health'],
    images: async (shop) => {
      const bad = await shop.push('v2', 'unhealthy');
      return [bad, bad, await shop.push('v2', 'healthy')];
    },
    rollbacks: [rollbackOf.unhealthy],
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      ...refusedAfterRollback(result),
      'slot a ran in between': /^A v1,B v2,A v1(,B v2)+$/.test(result.history.join()),
    }),
  }),
  life('plain reboots', {
    covers: ['upgrade'],
    images: one('healthy'),
    plainReboots: 3,
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      'every boot was of slot b': result.history.slice(1).every((line) => line.startsWith('B ')),
      'the node made five boots': result.boots === 5,
    }),
  }),
  life('newer agent', {
    images: async (shop) => [await shop.push('v2', 'newer-unhealthy'), await shop.push('v2', 'no-check-unit')],
    rollbacks: [rollbackOf['newer-unhealthy']],
    expect: (result) => ({
      ...committed(result, 'v2-no-check-unit-release'),
      ...newerThenWithoutCheck(result),
      'it read that the update ended': outcome(result, 1) === 'rolled-back: health-failed',
    }),
  }),
  life('a long life', {
    boots: 11,
    covers: [
      ...['upgrade', 'failed health', 'after a rollback', 'plain reboots', 'newer agent'],
      ...['cut in the write', 'cut before the reboot', 'cut in the trial', 'cut in every trial', 'cut again and again'],
    ],
    images: async (shop) => {
      const bad = await shop.push('v2', 'newer-unhealthy');
      return [bad, bad, await shop.push('v2', 'no-check-unit')];
    },
    rollbacks: [rollbackOf['newer-unhealthy']],
    hasWatchdog: true,
    cut: (boot) => allCuts[boot - 3],
    plainReboots: 3,
    expect: (result) => ({
      ...committed(result, 'v2-no-check-unit-release'),
      ...refusedAfterRollback(result),
      ...newerThenWithoutCheck(result),
      // The guard of a busy machine may end one trial more.
      'slot a ran after each cut, and from the commit on slot b': /^A v1,B v2,A v1,A v1,A v1(,B v2){4,5}$/.test(
        result.history.join(),
      ),
      'the loader was armed once more': count(result, '"event":"armed"') === 3,
    }),
  }),
  { name: 'lost flushes', play: playLostFlushes },
];
