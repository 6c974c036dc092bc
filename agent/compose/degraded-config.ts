import { join } from 'node:path';
import type { KaonConfig } from '../config/config.ts';

/** What an agent runs by that has no configuration at all: it serves its status, and starts nothing. */
export function degradedConfig(stateDir: string): KaonConfig {
  const slot = (bootName: string) => ({ bootName, bootOptions: undefined, partitions: {} });
  return {
    formatVersion: 1,
    node: { id: undefined, compatible: 'unknown', labels: {} },
    stateDir,
    slots: { a: slot('A'), b: slot('B') },
    bootloader: { type: 'grub', environment: '', shadow: undefined, dialect: 'kaon', tries: 1 },
    trust: { keys: {}, identities: {}, trustedRoot: undefined, revoked: [], rules: [] },
    registries: {},
    registriesConf: undefined,
    health: { deadlineMs: 60_000, hardDeadlineMs: 60_000, probation: undefined, checks: [] },
    update: {
      download: { bytesPerSecond: undefined },
      metered: { link: 'auto', rule: 'full', limitBytes: undefined },
      reboot: { inhibitorWaitMs: 1_800_000, afterWait: 'force' },
      unprovenLoader: 'warn',
      retry: { attempts: 1, baseMs: 15_000, maxMs: 900_000 },
      write: { unchanged: 'overwrite' },
    },
    triggers: { keys: {} },
    api: { socket: join('/run/kaon', 'kaon.sock') },
  };
}
