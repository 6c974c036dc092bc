import type { SlotEntry } from './slot-entry.ts';

import type { LoaderCanary } from './canary.ts';

/** One of the two slots of a node. */
export type SlotName = 'a' | 'b';

/** What the loader knows of one slot. */
export interface SlotBootState {
  /**
   * - `good`: proven; its markers are renewed and the loader boots it.
   * - `trial`: armed and not yet proven; the loader boots it while tries are left.
   * - `unrenewed`: proven, but this boot consumed its marker and nobody renewed it yet.
   * - `bad`: the loader never boots it.
   */
  readonly state: 'good' | 'trial' | 'unrenewed' | 'bad';
  /** How many more boots the loader grants before it falls back. 0: it does not boot this slot. */
  readonly triesLeft: number;
}

/** The loader's whole truth, read in one go. */
export interface BootStatus {
  /** The slot that the loader tries first at the next boot, or `undefined` when none can boot. */
  readonly primary: SlotName | undefined;
  /** The slot in trial (armed, perhaps exhausted, neither marked good nor bad), or `undefined`. */
  readonly trial: SlotName | undefined;
  /** The tries that the trial was armed with. 0 without a trial. */
  readonly trialTries: number;
  readonly slots: Readonly<Record<SlotName, SlotBootState>>;
  /** Set where a power cut left what `repair` brings into order, though the loader's state can be told. */
  readonly isUntidy?: boolean | undefined;
  /** What an operator should know of the loader besides, in sentences; absent where there is nothing. */
  readonly notes?: readonly string[] | undefined;
}

/** What an adapter can honestly promise of its loader. */
export interface BootloaderCapabilities {
  /** Most tries that a trial can be armed with. */
  readonly maxTries: number;
  /** `durable`: arming survives until the next boot; `at-reboot`: one-shot, armed as the last act of the reboot. */
  readonly armed: 'durable' | 'at-reboot';
  /** What makes one change atomic under power loss; `none`: power lost in a change can lose the loader's state. */
  readonly atomicity: 'sector' | 'copies' | 'rename' | 'variable' | 'none';
  /** Whether the loader counts a try before any userspace runs, so that a dead kernel is counted too. */
  readonly countsBeforeUserspace: boolean;
  /** Whether each boot of a proven slot consumes a marker: then every boot shows that the loader can write back. */
  readonly countsProven: boolean;
}

/**
 * Which slot boots next. Every verb is idempotent and durable when it resolves, and has one commit point: power lost
 * anywhere inside it leaves what the loader would have done before, or what it does after, never a third thing.
 * Verbs reject with `BootloaderError`.
 */
export interface Bootloader {
  readonly capabilities: BootloaderCapabilities;
  /** Absent where each boot shows that the loader counts, or where nothing but a trial does. */
  readonly canary?: LoaderCanary | undefined;
  /** Reads the loader's state and changes nothing. */
  readStatus(): Promise<BootStatus>;
  /**
   * Makes sure that the loader never boots `slot` and that the other slot is primary. The other slot must be good or
   * unrenewed, else this rejects with `boot-fallback-missing` and changes nothing. Ends a trial of `slot`.
   */
  markBad(slot: SlotName): Promise<void>;
  /**
   * Makes `slot` primary for `tries` boots as a trial, every leftover counter reset, the other slot left as the
   * fallback with its markers renewed. The other slot must be good, else this rejects with `boot-fallback-missing`; with
   * `boot-payload-missing` where what a `StagingBootloader` would start is gone.
   */
  activate(slot: SlotName, tries: number): Promise<void>;
  /**
   * Marks `slot` proven and primary, ends its trial and renews the markers that the loader consumes at each boot.
   * The other slot stays as it is.
   */
  markGood(slot: SlotName): Promise<void>;
  /**
   * Only where `capabilities.armed` is `at-reboot`: the last act before the reboot that is to start the trial of `slot`,
   * which was activated. Resolves to the argument that this reboot has to carry; any other reboot starts no trial.
   * Rejects with `boot-not-armed` when there is no trial of `slot`.
   */
  armReboot?(slot: SlotName): Promise<string>;
  /**
   * Computes a sound environment from nothing but the slot that booted and writes it when the stored one cannot be
   * read: `booted` good and primary, the other slot bad, trial counters exhausted. One that can be read
   * and is untidy is tidied, each slot's state kept. Resolves to whether it repaired.
   * `isOtherGood` keeps the other slot good where the caller has proof of it.
   */
  repair(booted: SlotName, isOtherGood: boolean): Promise<boolean>;
}

/** A loader that reads nothing but its own partition: what it starts of a slot has to be told to it. */
export interface StagingBootloader extends Bootloader {
  /**
   * Makes `entry` what a bad slot boots by once it is activated; until then nothing lists it. Durable and idempotent.
   * Rejects with `bootloader-unsupported` for a slot that is not bad, with `boot-payload-missing` when a file of `entry`
   * is not there, and with `boot-env-corrupt` when the loader would not list it.
   */
  stageEntry(slot: SlotName, entry: SlotEntry): Promise<void>;
}
