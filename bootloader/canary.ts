import type { SlotName } from './bootloader.ts';

/**
 * A mark that the loader changes at the next boot of a proven slot: how a loader that counts trials alone shows, without
 * a trial, that it can write back. At each moment of it, and whenever the power goes, `booted` is what boots, and no
 * trial stands.
 */
export interface LoaderCanary {
  /** What the reboot has to carry so that the loader changes the mark; `undefined`: any boot does it. */
  readonly rebootArgument: string | undefined;
  /** Sets the mark. `booted` has to be good, and no trial may stand. Rejects with `boot-env-…` codes. */
  arm(booted: SlotName): Promise<void>;
  /** What became of the mark in the boots since `arm`. Changes nothing. */
  read(booted: SlotName): Promise<'changed' | 'unchanged'>;
  /** Removes the mark, and changes nothing else; does not mind when there is none. */
  clear(booted: SlotName): Promise<void>;
}
