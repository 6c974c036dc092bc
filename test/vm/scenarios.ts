import type { Behaviour, ImageShop, Signer, VmImage } from './images.ts';
import type { LoaderState } from './loader.ts';
import type { BootPlan } from './machine.ts';

/** What is known of a node once it powered off by itself. */
export interface VmResult {
  /** `SLOT VERSION` of each boot that came as far as the scenario's script. */
  readonly history: readonly string[];
  readonly status: {
    readonly booted: string;
    readonly primary: string;
    readonly degraded: readonly { readonly code: string }[];
    readonly slots: readonly { readonly name: string; readonly state: string }[];
    readonly knownBad: readonly unknown[];
  };
  /** Newest first. */
  readonly updates: readonly { readonly outcome?: { readonly result: string; readonly code?: string } }[];
  readonly rollbacks: readonly { readonly reason: string; readonly message: string }[];
  readonly failedUnits: string;
  /** Boots that the machine made in all. */
  readonly boots: number;
  readonly loader: LoaderState;
  /** The version whose bytes slot b has from its first byte to its last. */
  readonly slotB: string | undefined;
}

/** One life of a node. */
export interface Scenario {
  readonly name: string;
  /** The images that the node is told to install, in order. */
  readonly images: (shop: ImageShop) => Promise<readonly VmImage[]>;
  readonly plainReboots?: number;
  /** How the nth boot is ended from outside, if it is. */
  readonly cut?: (boot: number) => BootPlan['cutAt'];
  /** What must hold in the end, each with what it is. */
  readonly expect: (result: VmResult) => Readonly<Record<string, boolean>>;
}

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
    'the reason is told': (result.rollbacks[0]?.message ?? '') !== '',
    'the digest is known bad': result.status.knownBad.length === 1,
    'no trial is left': result.loader.trial === undefined,
  };
}

/** Every life that is tried, by the names that README.md has. */
export const scenarios: readonly Scenario[] = [
  { name: 'upgrade', images: one('healthy'), expect: (result) => committed(result, 'v2-healthy-release') },
  {
    name: 'panic',
    images: one('panic'),
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  },
  {
    name: 'dies early',
    images: one('dies-early'),
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  },
  {
    name: 'hangs',
    images: one('hangs'),
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  },
  {
    name: 'no agent',
    images: one('no-agent'),
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  },
  {
    name: 'agent crashes',
    images: one('agent-crashes'),
    expect: (result) => rolledBack(result, 'rolled-back: boot-tries-exhausted'),
  },
  {
    name: 'config refused',
    images: one('config-refused'),
    expect: (result) => ({
      ...rolledBack(result, 'rolled-back: health-failed'),
      'the message names the configuration': (result.rollbacks[0]?.message ?? '').includes('config-invalid'),
    }),
  },
  {
    name: 'failed health',
    images: one('unhealthy'),
    expect: (result) => rolledBack(result, 'rolled-back: health-failed'),
  },
  {
    name: 'unsigned',
    images: one('healthy', 'stranger'),
    expect: (result) => ({
      'the update was refused': outcome(result) === 'failed: signer-untrusted',
      'the node made one boot': result.boots === 1,
      'slot b is not bootable': !result.loader.canBoot.b,
    }),
  },
  {
    name: 'cut in the write',
    images: one('healthy'),
    cut: (boot) => (boot === 1 ? { line: /the image is verified; writing slot b/, afterMs: 2500 } : undefined),
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      'the node booted slot a again': result.history[1]?.startsWith('A ') === true,
    }),
  },
  {
    name: 'cut in the trial',
    images: one('healthy'),
    cut: (boot) => (boot === 2 ? { line: /vm-scenario: boot .* slot B/, afterMs: 0 } : undefined),
    expect: (result) => committed(result, 'v2-healthy-release'),
  },
  {
    name: 'cut before the reboot',
    images: one('healthy'),
    cut: (boot) => (boot === 1 ? { line: /is primary with its tries; the reboot is next/, afterMs: 0 } : undefined),
    expect: (result) => committed(result, 'v2-healthy-release'),
  },
  {
    name: 'after a rollback',
    images: async (shop) => {
      const bad = await shop.push('v2', 'unhealthy');
      return [bad, bad, await shop.push('v2', 'healthy')];
    },
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      'the image that rolled back was refused': outcome(result, 1) === 'failed: known-bad',
      'it rolled back first': outcome(result, 2) === 'rolled-back: health-failed',
    }),
  },
  {
    name: 'plain reboots',
    images: one('healthy'),
    plainReboots: 3,
    expect: (result) => ({
      ...committed(result, 'v2-healthy-release'),
      'every boot was of slot b': result.history.slice(1).every((line) => line.startsWith('B ')),
      'the node made five boots': result.boots === 5,
    }),
  },
];
