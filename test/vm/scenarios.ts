import {
  committed,
  count,
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
    boots: 10,
    covers: ['panic', 'dies early', 'hangs'],
    isMostlyWaiting: true,
    images: async (shop) => [
      await shop.push('v2', 'panic'),
      await shop.push('v3', 'dies-early'),
      await shop.push('v4', 'hangs'),
    ],
    rollbacks: [rollbackOf.panic, rollbackOf['dies-early'], rollbackOf.hangs],
    expect: (result) => {
      const usedUp = 'rolled-back: boot-tries-exhausted';
      return rolledBackInTurn(result, usedUp, usedUp, usedUp);
    },
  }),
  life('broken agents', {
    boots: 9,
    covers: ['no agent', 'agent crashes', 'config refused', 'unsigned'],
    isMostlyWaiting: true,
    images: async (shop) => [
      await shop.push('v2', 'no-agent'),
      await shop.push('v3', 'agent-crashes'),
      await shop.push('v4', 'config-refused'),
      await shop.push('v5', 'healthy', 'stranger'),
    ],
    rollbacks: [rollbackOf['no-agent'], rollbackOf['agent-crashes'], rollbackOf['config-refused']],
    expect: (result) => ({
      [`the stranger's image was refused (it is ${outcome(result)})`]: outcome(result) === 'failed: signer-untrusted',
      ...rolledBackInTurn(
        { ...result, updates: result.updates.slice(1) },
        'rolled-back: boot-tries-exhausted',
        'rolled-back: boot-tries-exhausted',
        'rolled-back: health-failed',
      ),
      'slot b is not bootable': !result.loader.canBoot.b,
    }),
  }),
  life('broken services', {
    boots: 9,
    images: async (shop) => [
      await shop.push('v2', 'unit-fails'),
      await shop.push('v3', 'greenboot-fails'),
      await shop.push('v4', 'cancelled'),
      await shop.push('v5', 'breaks-later'),
    ],
    rollbacks: [
      rollbackOf['unit-fails'],
      rollbackOf['greenboot-fails'],
      rollbackOf.cancelled,
      rollbackOf['breaks-later'],
    ],
    expect: (result) => ({
      ...rolledBackInTurn(
        result,
        'rolled-back: health-failed',
        'rolled-back: health-failed',
        'cancelled: update-cancelled',
        'rolled-back: health-failed',
      ),
      'the last one failed in its probation': (result.rollbacks[0]?.message ?? '').startsWith('in probation: '),
      'it ran as a committed one': result.history.at(-2) === 'B v5',
    }),
  }),
  life('init freezes', {
    isMostlyWaiting: true,
    images: one('init-freezes'),
    rollbacks: [rollbackOf['init-freezes']],
    expect: (result) => ({
      ...rolledBack(result, 'rolled-back: boot-tries-exhausted'),
      'systemd fed the watchdog in each try': count(result, 'the watchdog is fed') === 2,
      'the watchdog ended each try': count(result, 'Software Watchdog Timer expired') >= 2,
    }),
  }),
  life('good after bad', {
    boots: 7,
    covers: ['upgrade', 'panic', 'failed health'],
    images: async (shop) => [
      await shop.push('v2', 'panic'),
      await shop.push('v3', 'unhealthy'),
      await shop.push('v4', 'healthy'),
    ],
    rollbacks: [rollbackOf.panic, rollbackOf.unhealthy],
    expect: (result) => ({
      ...committed(result, 'v4-healthy-release'),
      'the panic rolled back': outcome(result, 2) === 'rolled-back: boot-tries-exhausted',
      'the failed check rolled back': outcome(result, 1) === 'rolled-back: health-failed',
      'both digests are known bad': result.status.knownBad.length === 2,
    }),
  }),
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
    cut: (boot) => [cutOf.write, cutOf.reboot, cutOf.trial, cutOf.trial][boot - 1],
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
    boots: 7,
    covers: ['upgrade', 'failed health', 'after a rollback', 'plain reboots', 'newer agent'],
    images: async (shop) => {
      const bad = await shop.push('v2', 'newer-unhealthy');
      return [bad, bad, await shop.push('v2', 'no-check-unit')];
    },
    rollbacks: [rollbackOf['newer-unhealthy']],
    plainReboots: 3,
    expect: (result) => ({
      ...committed(result, 'v2-no-check-unit-release'),
      ...refusedAfterRollback(result),
      ...newerThenWithoutCheck(result),
      'every boot from the last trial on was of slot b': /A v1(,B v2){4}$/.test(result.history.join()),
    }),
  }),
  { name: 'lost flushes', play: playLostFlushes },
];
