import { AgentError, type ErrorReport } from '../core/errors.ts';
import type { NodeBoot, PartitionWays, RebootPurpose, SlotService, WrittenSlot } from '../core/ports.ts';
import type { SlotName } from '../core/update-state.ts';

/** Ends trials and reads the loader by an older configuration; writes no slot and arms none. */
export class DegradedSlotService implements SlotService {
  readonly #service: SlotService;
  readonly #fault: ErrorReport;

  /** `fault` is why nothing new may begin. */
  constructor(service: SlotService, fault: ErrorReport) {
    this.#service = service;
    this.#fault = fault;
  }

  async readNode(): Promise<NodeBoot> {
    return { ...(await this.#service.readNode()), faults: [this.#fault] };
  }

  repairLoader(isOtherGood: boolean): Promise<boolean> {
    return this.#service.repairLoader(isOtherGood);
  }

  async writeSlot(slot: SlotName): Promise<WrittenSlot> {
    throw this.#refuse(`write slot ${slot}`);
  }

  async estimateWrite(slot: SlotName): Promise<readonly PartitionWays[]> {
    throw this.#refuse(`estimate the write of slot ${slot}`);
  }

  async activate(slot: SlotName): Promise<void> {
    throw this.#refuse(`activate slot ${slot}`);
  }

  markGood(slot: SlotName): Promise<void> {
    return this.#service.markGood(slot);
  }

  markBad(slot: SlotName): Promise<void> {
    return this.#service.markBad(slot);
  }

  reboot(purpose?: RebootPurpose): Promise<void> {
    return this.#service.reboot(purpose);
  }

  async armLoaderTest(): Promise<void> {
    throw this.#refuse('test the loader');
  }

  readLoaderTest(): Promise<boolean | undefined> {
    return this.#service.readLoaderTest();
  }

  clearLoaderTest(): Promise<void> {
    return this.#service.clearLoaderTest();
  }

  keepEvidence(text: string): Promise<boolean> {
    return this.#service.keepEvidence(text);
  }

  #refuse(verb: string): AgentError {
    return new AgentError('agent-degraded', `cannot ${verb}: kaon-slotd is degraded: ${this.#fault.message}`, {
      details: { cause: this.#fault.code },
    });
  }
}
