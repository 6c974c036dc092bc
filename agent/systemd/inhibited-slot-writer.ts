import type { LayerSource, PatchOffer, SlotWriter, WriteProgress, WrittenSlot } from '../../partitions/slot-writer.ts';
import type { TrustedDescriptor } from '../../partitions/trusted-descriptor.ts';
import type { SlotName } from '../core/update-state.ts';
import type { CommandRunner } from './command-runner.ts';

/**
 * A writer that holds a delay inhibitor of logind while it writes (systemd-inhibit(1)), and none else: an orderly shutdown
 * waits for it, at most logind's InhibitDelayMaxSec. A node without logind writes without one, which is told once a write.
 */
export class InhibitedSlotWriter implements SlotWriter {
  readonly #writer: SlotWriter;
  readonly #commands: CommandRunner;
  readonly #onNote: (note: string) => void;

  constructor(writer: SlotWriter, commands: CommandRunner, onNote: (note: string) => void) {
    this.#writer = writer;
    this.#commands = commands;
    this.#onNote = onNote;
  }

  async write(
    slot: SlotName,
    image: TrustedDescriptor,
    layers: LayerSource,
    onProgress: (progress: WriteProgress) => void,
    signal: AbortSignal,
    patches?: readonly PatchOffer[],
  ): Promise<WrittenSlot> {
    const writing = new AbortController();
    const held = this.#hold(slot, writing.signal);
    try {
      return await this.#writer.write(slot, image, layers, onProgress, signal, patches);
    } finally {
      writing.abort();
      await held;
    }
  }

  /** Resolves once the inhibitor is given back, or could not be had. The lock is that of a child, and ends with it. */
  async #hold(slot: SlotName, signal: AbortSignal): Promise<void> {
    const lock = ['--what=shutdown', '--mode=delay', '--who=kaon', `--why=slot ${slot} is being written`];
    const { output } = await this.#commands.run(['systemd-inhibit', ...lock, 'sleep', 'infinity'], signal);
    if (!signal.aborted) this.#onNote(`no shutdown waits for the write of slot ${slot}: ${output}`);
  }
}
