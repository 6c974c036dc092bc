import type { SlotName } from '../../bootloader/bootloader.ts';

/** What a loader would do at the next boot, read from outside without any of kaon's own code. */
export interface LoaderState {
  /** The slot in trial, armed or used up, that was neither marked good nor bad. */
  readonly trial: SlotName | undefined;
  /** Whether the loader would ever boot a slot. */
  readonly canBoot: Readonly<Record<SlotName, boolean>>;
  /** Digests of what the loader starts of a slot that it may boot, where that lies beside the slot's own partition. */
  readonly payloads?: Readonly<Partial<Record<SlotName, string>>>;
  /** All that the loader's choice depends on, in one line: what tells two states apart, and what a failure shows. */
  readonly text: string;
}

/** A loader as the harness sees it: how it comes onto a disk, what a node says of it, and what it left there. */
export interface VmLoader {
  /** Part of file names. Machines with loaders of one kind share their images. */
  readonly kind: string;
  /** The value of `bootloader:` in the node's configuration, as one line of YAML. */
  readonly configuration: string;
  /** What each slot of the configuration has besides its name and its partition, as a line of YAML. */
  readonly slotSettings?: Readonly<Record<SlotName, string>>;
  /** Whether its images bring Node along; else it lies on a partition that both slots use. */
  readonly isNodeInImage: boolean;
  /** Further files of the node's root file system, by their paths in it. */
  readonly nodeFiles: Readonly<Record<string, string>>;
  /** Puts the loader onto a disk: slot a good and holding `tree`, slot b never bootable. `work` is for scratch files. */
  readonly install: (disk: string, tree: string, work: string) => Promise<void>;
  /** What `kaonctl image build` needs besides the root partition, such as the kernel of `tree` for the ESP. */
  readonly imageArguments: (tree: string, work: string) => Promise<readonly string[]>;
  readonly readState: (disk: string) => Promise<LoaderState>;
}
