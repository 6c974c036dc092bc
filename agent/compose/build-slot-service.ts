import { mkdir, stat } from 'node:fs/promises';
import { findBootedSlot } from '../../partitions/booted-slot.ts';
import { LinuxSlotDevices } from '../../partitions/linux-slot-devices.ts';
import type { StartFrameWorkers } from '../../partitions/frames/frame-workers.ts';
import { KeptDigests } from '../../partitions/reuse/kept-digests.ts';
import { WriteEstimator } from '../../partitions/reuse/write-estimator.ts';
import type { SlotWriter } from '../../partitions/slot-writer.ts';
import type { WriterClock } from '../../partitions/stall-guard.ts';
import { StreamingSlotWriter, type StreamingSlotWriterOptions } from '../../partitions/streaming-slot-writer.ts';
import { zeroRangeByCommand } from '../../partitions/zero-range.ts';
import type { KaonConfig } from '../config/config.ts';
import { AgentError, type ErrorReport, reportOf } from '../core/errors.ts';
import type { Clock, SlotService } from '../core/ports.ts';
import type { SignedTime } from '../core/signed-time.ts';
import { PstoreMessages } from '../host/persistent-messages.ts';
import { ProcessCommandRunner } from '../host/process-command-runner.ts';
import { DegradedSlotService } from '../slotd/degraded-slot-service.ts';
import { LocalSlotService, type MintingPolicy } from '../slotd/local-slot-service.ts';
import { FollowedRepositoryFile } from '../store/followed-repository-file.ts';
import { CheckpointFile } from '../store/checkpoint-file.ts';
import { IndexCacheFiles } from '../store/index-cache-files.ts';
import { WrittenRecordsFile } from '../store/written-records-file.ts';
import { SignedTimeFile } from '../store/signed-time-file.ts';
import { InhibitedSlotWriter } from '../systemd/inhibited-slot-writer.ts';
import { CommandRebooter } from '../systemd/rebooter.ts';
import { withoutServiceVariables } from '../host/service-environment.ts';
import type { RuleTrustPolicy } from '../trust/trust-policy.ts';
import { trustTime } from '../trust/trust-time.ts';
import { buildBootloader } from './build-bootloader.ts';
import { buildSystemdBoot } from './build-systemd-boot.ts';
import { loadTrustPolicy } from './load-trust.ts';
import type { SlotdOptions } from './slotd-options.ts';

/** What the service is made of besides its configuration. */
export interface SlotServiceParts {
  readonly agentVersion: string;
  readonly startWorkers: StartFrameWorkers;
  readonly clock: WriterClock & Pick<Clock, 'nowMs'>;
  /** When this kaon was built, in epoch milliseconds; absent where it runs from its sources. */
  readonly builtAtMs?: number | undefined;
  /** Hears of what does not keep a write from going on. */
  readonly onFault: (error: unknown) => void;
  /** Hears where an interrupted write goes on, or why it starts over. */
  readonly onNote?: (note: string) => void;
}

/** Trusts nothing: for a slotd whose keys can't be read, and which writes no slot. */
function refusingPolicy(fault: ErrorReport): MintingPolicy {
  return {
    judgeAndMint: () => {
      throw new AgentError('agent-degraded', `cannot judge the image: ${fault.message}`);
    },
  };
}

/** The agent's state would be lost with the next update; the agent itself may not see the devices to tell. */
async function findStateOnSlot({ stateDir, slots }: KaonConfig): Promise<ErrorReport | undefined> {
  const state = await stat(stateDir).catch(() => undefined);
  if (state === undefined) return undefined;
  for (const [name, slot] of Object.entries(slots)) {
    for (const [partition, { device }] of Object.entries(slot.partitions)) {
      const found = await stat(device).catch(() => undefined);
      if (found?.isBlockDevice() !== true || found.rdev !== state.dev) continue;
      return {
        code: 'state-dir-invalid',
        message: `cannot use the state directory ${stateDir}: it lies on slots.${name}.partitions.${partition}, and would be lost with the next update`,
      };
    }
  }
  return undefined;
}

function rebooterOf({ rebootCommand }: SlotdOptions): CommandRebooter {
  return new CommandRebooter(new ProcessCommandRunner(withoutServiceVariables(process.env)), rebootCommand);
}

/** The trust policy, by the keys as they are now; or why it can't be used. */
async function openTrust(
  { trust }: KaonConfig,
  signedTime: SignedTime,
  { clock, builtAtMs: buildMs }: SlotServiceParts,
): Promise<RuleTrustPolicy | ErrorReport> {
  const time = () => trustTime(clock.nowMs(), { buildMs, signedMs: signedTime.latestMs });
  return loadTrustPolicy(trust, time).catch((error: unknown) => reportOf(error));
}

/** The writer; on a node, which reboots by systemd, one that shutdowns wait for. */
function writerOf(
  made: StreamingSlotWriterOptions & Pick<SlotServiceParts, 'onNote'>,
  { update }: KaonConfig,
  { rebootCommand }: SlotdOptions,
): SlotWriter {
  const writer = new StreamingSlotWriter({ ...made, keepsEqual: update.write.unchanged === 'keep' });
  if (rebootCommand !== undefined) return writer;
  const commands = new ProcessCommandRunner(withoutServiceVariables(process.env));
  return new InhibitedSlotWriter(writer, commands, made.onNote ?? (() => undefined));
}

/**
 * The privileged service of this node. With `fault`, or with keys that can't be used, it is degraded: it writes and arms
 * no slot. Rejects with why the booted slot or the loader's files can't be told.
 */
export async function buildSlotService(
  config: KaonConfig,
  fault: ErrorReport | undefined,
  options: SlotdOptions,
  parts: SlotServiceParts,
): Promise<SlotService> {
  const { slots, bootloader } = config;
  const bootNames = { a: slots.a.bootName, b: slots.b.bootName };
  const partitions = { a: slots.a.partitions, b: slots.b.partitions };
  const booted = options.bootedSlot ?? (await findBootedSlot({ slots: partitions, bootNames }));
  const devices = new LinuxSlotDevices({
    slots: partitions,
    booted,
    areFilesAllowed: options.areFileSlotsAllowed,
    zeroRange: zeroRangeByCommand,
  });
  await mkdir(options.stateDir, { recursive: true, mode: 0o700 });
  const signedTime = await SignedTimeFile.open(options.stateDir);
  const trust = await openTrust(config, signedTime, parts);
  const keysFault = 'code' in trust ? trust : undefined;
  const checkpoints = new CheckpointFile(options.stateDir);
  const digests = new KeptDigests(new IndexCacheFiles(options.stateDir));
  const service = new LocalSlotService({
    booted,
    ...(bootloader.type === 'systemd-boot'
      ? buildSystemdBoot(bootloader, slots, {
          runtimeDir: options.runtimeDir,
          areFoldersAllowed: options.areFileSlotsAllowed,
          onFault: parts.onFault,
        })
      : { bootloader: await buildBootloader(bootloader, bootNames, options.runtimeDir) }),
    devices,
    writer: writerOf({ devices, checkpoints, digests, ...parts }, config, options),
    checkpoints,
    signedTime,
    ...(config.trust.repositories === undefined
      ? { followed: await FollowedRepositoryFile.open(options.stateDir) }
      : {}),
    estimator: new WriteEstimator(devices, digests, parts.onFault),
    policy: 'code' in trust ? refusingPolicy(trust) : trust,
    records: new WrittenRecordsFile(options.stateDir),
    rebooter: rebooterOf(options),
    identity: { compatible: config.node.compatible, agentVersion: parts.agentVersion },
    messages: new PstoreMessages(),
  });
  const degraded = fault ?? keysFault ?? (await findStateOnSlot(config));
  return degraded === undefined ? service : new DegradedSlotService(service, degraded);
}
