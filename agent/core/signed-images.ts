import type { SignedImage } from './ports.ts';
import type { SlotName } from './update-state.ts';

/** An image as it was judged before it was written. */
export interface KeptSigned {
  readonly signed: SignedImage;
  /** What the time of the trust decision was, in epoch milliseconds. */
  readonly judgedAtMs: number;
}

/** What the images in the slots were trusted by: their signed bytes, and what lay beside them. */
export interface SignedImages {
  /** Keeps `signed` as what slot `slot` was written from, in place of what was kept of it. Durable when it resolves. */
  save(slot: SlotName, signed: SignedImage): Promise<void>;
  /** `undefined` where nothing is kept, or it can't be read. */
  load(slot: SlotName): Promise<KeptSigned | undefined>;
}
