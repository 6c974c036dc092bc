import type { Behaviour, ImageShop, Signer, VmImage } from './images.ts';
import { playLife } from './life.ts';
import { playLostFlushes } from './lost-flushes.ts';
import { newerVersion } from './newer-kaon.ts';
import { rollbackOf } from './rollbacks.ts';
import type { Life, Scenario, VmResult } from './scenario.ts';

const one =
  (behaviour: Behaviour, signer: Signer = 'release') =>
  async (shop: ImageShop): Promise<readonly VmImage[]> => [await shop.push('v2', behaviour, signer)];

function outcome({ updates }: VmResult, index = 0): string {
  const { result = 'none', code } = updates[index]?.outcome ?? {};
  return code === undefined ? result : `${result}: ${code}`;
}

function committed(result: VmResult, version: string): Readonly<Record<string, boolean>> {
  return {
    'the update is committed': outcome(result) === 'committed',
    'slot b runs': result.status.booted === 'b' && result.status.primary === 'b',
    'slot b holds the image': result.slotB === version,
    'no trial is left': result.loader.trial === undefined,
    'the agent is not degraded': result.status.degraded.length === 0,
    'no unit failed': result.failedUnits === '',
  };
}

function rolledBack(result: VmResult, ...outcomes: readonly string[]): Readonly<Record<string, boolean>> {
  return {
    [`the update ended ${outcomes.join(' or ')} (it is ${outcome(result)})`]: outcomes.includes(outcome(result)),
    'slot a runs': result.status.booted === 'a' && result.status.primary === 'a',
    'slot b is bad': result.status.slots.find(({ name }) => name === 'b')?.state === 'bad',
    'the digest is known bad': result.status.knownBad.length === 1,
    'no trial is left': result.loader.trial === undefined,
  };
}

/** What holds of a node back in slot a, whose updates ended so, the oldest first. */
function rolledBackInTurn(result: VmResult, ...outcomes: readonly string[]): Readonly<Record<string, boolean>> {
  const ended = result.updates.map((_, index) => outcome(result, index)).toReversed();
  return {
    [`the updates ended ${outcomes.join(', ')} (they are ${ended.join(', ')})`]: ended.join() === outcomes.join(),
    'slot a runs': result.status.booted === 'a' && result.status.primary === 'a',
    'slot b is bad': result.status.slots.find(({ name }) => name === 'b')?.state === 'bad',
    'each digest is known bad': result.status.knownBad.length === outcomes.length,
    'no trial is left': result.loader.trial === undefined,
  };
}

function count({ console }: VmResult, text: string): number {
  return console.filter((line) => line.includes(text)).length;
}

/** Where lives are cut. */
const cutOf = {
  write: { line: /the image is verified; writing slot b/, afterMs: 2500 },
  reboot: { line: /is primary with its tries; the reboot is next/, afterMs: 0 },
  // The agent has noted the boot; its verdict follows a moment later.
  trial: { line: /"event":"agent-started"/, afterMs: 0 },
} as const;

function life(name: string, one: Life): Scenario {
  const { covers = [], isMostlyWaiting = false } = one;
  return { name, covers, isMostlyWaiting, play: (stage, folder, signal) => playLife(stage, folder, one, signal) };
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
    covers: ['panic', 'dies early'],
    images: async (shop) => [await shop.push('v2', 'panic'), await shop.push('v3', 'dies-early')],
    rollbacks: [rollbackOf.panic, rollbackOf['dies-early']],
    expect: (result) => ({
      ...rolledBackInTurn(result, 'rolled-back: boot-tries-exhausted', 'rolled-back: boot-tries-exhausted'),
    }),
  }),
  life('broken agents', {
    covers: ['agent crashes', 'config refused', 'unsigned'],
    images: async (shop) => [
      await shop.push('v2', 'agent-crashes'),
      await shop.push('v3', 'config-refused'),
      await shop.push('v4', 'healthy', 'stranger'),
    ],
    rollbacks: [rollbackOf['agent-crashes'], rollbackOf['config-refused']],
    expect: (result) => ({
      [`the stranger's image was refused (it is ${outcome(result)})`]: outcome(result) === 'failed: signer-untrusted',
      ...rolledBackInTurn(
        { ...result, updates: result.updates.slice(1) },
        'rolled-back: boot-tries-exhausted',
        'rolled-back: health-failed',
      ),
      'slot b is not bootable': !result.loader.canBoot.b,
    }),
  }),
  life('broken services', {
    images: async (shop) => [
      await shop.push('v2', 'unit-fails'),
      await shop.push('v3', 'greenboot-fails'),
      await shop.push('v4', 'breaks-later'),
    ],
    rollbacks: [rollbackOf['unit-fails'], rollbackOf['greenboot-fails'], rollbackOf['breaks-later']],
    expect: (result) => {
      const failed = 'rolled-back: health-failed';
      return {
        ...rolledBackInTurn(result, failed, failed, failed),
        'the last one failed in its probation': (result.rollbacks[0]?.message ?? '').startsWith('in probation: '),
        'it ran as a committed one': result.history.at(-2) === 'B v4',
      };
    },
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
      return [bad, bad, await shop.push('v2', 'cancelled'), await shop.push('v2', 'healthy')];
    },
    rollbacks: [rollbackOf.unhealthy, rollbackOf.cancelled],
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      'the trial was cancelled': outcome(result, 1) === 'cancelled: update-cancelled',
      'the image that rolled back was refused': outcome(result, 2) === 'failed: known-bad',
      'it rolled back first': outcome(result, 3) === 'rolled-back: health-failed',
      'that image alone is known bad': result.status.knownBad.length === 1,
      'slot a ran in between': result.history.filter((line) => line.startsWith('A ')).length === 3,
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
      'without kaon-check, kaond ran the checks': count(result, 'kaond runs health checks itself') > 0,
      'the newer agent ran': result.console.some((line) => line.includes(`kaond ${newerVersion} started`)),
      'the older one runs': result.status.agentVersion !== newerVersion,
      'it read that the update ended': outcome(result, 1) === 'rolled-back: health-failed',
      'it knows what the newer one found bad': result.status.knownBad.length === 1,
      'it kept what it does not know': result.facts.every((copy) => copy.includes('"newerFact":"kept"')),
    }),
  }),
  { name: 'lost flushes', play: playLostFlushes },
];
