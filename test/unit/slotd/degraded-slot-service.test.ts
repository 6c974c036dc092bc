import { describe, expect, it } from 'vitest';
import { AgentError } from '../../../agent/core/errors.ts';
import { DegradedSlotService } from '../../../agent/slotd/degraded-slot-service.ts';
import { LocalSlotService } from '../../../agent/slotd/local-slot-service.ts';
import type { SlotName } from '../../../bootloader/bootloader.ts';
import { PartitionError } from '../../../partitions/errors.ts';
import { StreamingSlotWriter } from '../../../partitions/streaming-slot-writer.ts';
import { MemorySlotDevices } from '../../fakes/memory-block-device.ts';
import { MemoryBootloader } from '../../fakes/memory-bootloader.ts';
import { MemoryWrittenRecords } from '../../fakes/memory-written-records.ts';
import { writerParts } from '../../fakes/writer-parts.ts';

/** Devices of which those of slot b are gone. */
class HalfDeadDevices extends MemorySlotDevices {
  override async sizes(slot: SlotName): Promise<ReadonlyMap<string, number>> {
    if (slot === 'b') throw new PartitionError('slot-device-unreadable', 'cannot find device /dev/sdb2');
    return super.sizes(slot);
  }
}

function serviceOver(devices: MemorySlotDevices, bootloader: MemoryBootloader): LocalSlotService {
  return new LocalSlotService({
    booted: 'a',
    bootloader,
    devices,
    writer: new StreamingSlotWriter({ ...writerParts, devices }),
    policy: {
      judgeAndMint: () => {
        throw new AgentError('trust-rule-missing', 'cannot trust the image: no rule matches');
      },
    },
    records: new MemoryWrittenRecords(),
    rebooter: { reboot: async () => undefined },
    identity: { compatible: 'acme-gw-2', agentVersion: '1.4.0' },
  });
}

const partitions = { root: { sizeBytes: 16_384 } };
const slots = { a: partitions, b: partitions };

describe('a node with a dead device', () => {
  it('still has its loader read and its booted slot marked good, and says what is dead', async () => {
    const bootloader = new MemoryBootloader();
    bootloader.boot();
    const service = serviceOver(new HalfDeadDevices({ slots }), bootloader);
    expect(await service.readNode()).toMatchObject({
      booted: 'a',
      partitionSizes: { a: { root: 16_384 }, b: {} },
      unreadable: { a: undefined, b: { code: 'slot-device-unreadable' } },
    });
    await service.markGood('a');
    expect((await bootloader.readStatus()).slots.a.state).toBe('good');
  });
});

describe('a degraded kaon-slotd', () => {
  const fault = { code: 'config-invalid', message: 'cannot use /etc/kaon/config.yaml: slots.a is missing' } as const;

  it('writes and arms no slot, and says why', async () => {
    const bootloader = new MemoryBootloader();
    const service = new DegradedSlotService(serviceOver(new MemorySlotDevices({ slots }), bootloader), fault);
    await bootloader.markGood('b');
    await bootloader.markGood('a');
    for (const verb of [service.writeSlot('b'), service.activate('b'), service.estimateWrite('b')]) {
      await expect(verb).rejects.toMatchObject({ code: 'agent-degraded', details: { cause: 'config-invalid' } });
    }
    expect((await bootloader.readStatus()).trial).toBeUndefined();
    expect((await service.readNode()).faults).toEqual([fault]);
  });

  it('still ends a trial either way', async () => {
    const bootloader = new MemoryBootloader();
    const service = new DegradedSlotService(serviceOver(new MemorySlotDevices({ slots }), bootloader), fault);
    await bootloader.activate('b', 4);
    await service.markBad('b');
    expect((await bootloader.readStatus()).trial).toBeUndefined();
    await service.markGood('a');
    await service.reboot();
    bootloader.corrupt();
    expect(await service.repairLoader(false)).toBe(true);
  });
});
