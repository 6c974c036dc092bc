import type { ImageShop, VmImage } from './images.ts';
import type { LoaderState } from './loader.ts';
import type { BootPlan } from './machine.ts';
import type { ExpectedRollback, ReadRollback } from './rollbacks.ts';
import type { Stage } from './stage.ts';
import type { WayBack } from './ways-back.ts';

/** What a scenario came to. */
export interface Played {
  /** What did not hold; empty when all did. */
  readonly failures: readonly string[];
  /** The ways back that it took, the first one first. */
  readonly waysBack?: readonly WayBack[];
}

/** A row of the matrix. */
export interface Scenario {
  readonly name: string;
  /** Names of the scenarios that are part of this one: where it is played, they need not be. */
  readonly covers?: readonly string[];
  /** Whether the guest is idle for most of its time, until a guard ends the boot. */
  readonly isMostlyWaiting?: boolean;
  /** About how long it takes, in boots of a PC, where that is more than three. */
  readonly boots?: number;
  /**
   * Plays it in `folder`, which is its own; rejects where it came to no end, and at the latest
   * soon after `signal` was aborted.
   */
  readonly play: (stage: Stage, folder: string, signal: AbortSignal) => Promise<Played>;
}

/** One life of a node, from its first boot until it powers off by itself. */
export interface Life {
  /** See `Scenario`. */
  readonly covers?: readonly string[];
  /** See `Scenario`. */
  readonly isMostlyWaiting?: boolean;
  /** See `Scenario`. */
  readonly boots?: number;
  /** The images that the node is told to install, in order. */
  readonly images: (shop: ImageShop) => Promise<readonly VmImage[]>;
  readonly plainReboots?: number;
  /** Whether the node has a watchdog and a store of panics that can tell a power loss from anything else. */
  readonly hasWatchdog?: boolean;
  /** How the nth boot is ended from outside, if it is. */
  readonly cut?: (boot: number) => BootPlan['cutAt'];
  /** What the records of its rollbacks must say, the oldest first; absent: it has none. */
  readonly rollbacks?: readonly ExpectedRollback[];
  /** What must hold in the end besides, each with what it is. */
  readonly expect: (result: VmResult) => Readonly<Record<string, boolean>>;
}

/** What is known of a node once it powered off by itself. */
export interface VmResult {
  /** `SLOT VERSION` of each boot that came as far as the scenario's script. */
  readonly history: readonly string[];
  readonly status: {
    readonly agentVersion: string;
    readonly booted: string;
    readonly primary: string;
    readonly degraded: readonly { readonly code: string }[];
    readonly slots: readonly { readonly name: string; readonly state: string }[];
    readonly knownBad: readonly unknown[];
  };
  /** Newest first. */
  readonly updates: readonly { readonly outcome?: { readonly result: string; readonly code?: string } }[];
  /** As the agent of slot a last told them, newest first. */
  readonly rollbacks: readonly ReadRollback[];
  /** The newest one as `kaonctl rollbacks show` told it in the end; `null` where there is none. */
  readonly shownRollback: ReadRollback | null;
  readonly failedUnits: string;
  /** Both copies of the facts, as they lie in the state directory. */
  readonly facts: readonly string[];
  /** Boots that the machine made in all. */
  readonly boots: number;
  /** Lines of the serial console, over all boots. */
  readonly console: readonly string[];
  readonly loader: LoaderState;
  /** The version whose bytes slot b has from its first byte to its last. */
  readonly slotB: string | undefined;
}
