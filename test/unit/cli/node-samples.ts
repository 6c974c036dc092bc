import type { PartitionFacts } from '../../../agent/cli/find-slots.ts';
import type { InitFacts } from '../../../agent/cli/init-config.ts';
import type { NodeInspection } from '../../../agent/cli/node-inspection.ts';
import { parseConfig } from '../../../agent/config/parse-config.ts';
import type { KaonConfig } from '../../../agent/config/config.ts';

const text = `formatVersion: 1
node: { compatible: acme }
slots:
  a: { bootName: A, partitions: { root: { device: /dev/a } } }
  b: { bootName: B, partitions: { root: { device: /dev/b } } }
bootloader: { type: grub }
trust:
  keys: { release-1: { file: /etc/kaon/keys/release-1.pub } }
  rules: [{ prefix: registry.acme.io/os, require: { keys: [release-1] } }]
health:
  checks: [{ name: web, kind: http, url: "http://127.0.0.1/" }]
`;

/** A configuration with which nothing is wrong. */
export const soundConfig: KaonConfig = parseConfig({ image: undefined, node: [{ path: 'kaon.yaml', text }] });

function unit(name: string, activeState: string) {
  return { name, loadState: 'loaded', activeState, fileState: 'enabled', result: 'success' };
}

/** A node with which nothing is wrong, but for what `changes` say. */
export function inspection(changes: Partial<NodeInspection> = {}): NodeInspection {
  return {
    configFile: '/etc/kaon/kaon.yaml',
    config: soundConfig,
    fileFaults: [],
    units: [
      unit('kaond.service', 'active'),
      unit('kaon-slotd.socket', 'active'),
      unit('kaon-check.socket', 'active'),
      unit('kaon-trial-guard.timer', 'active'),
      unit('kaon-health.service', 'inactive'),
    ],
    runtimeWatchdog: '30s',
    hasWatchdogDevice: true,
    panicSeconds: 10,
    stateDir: { availableBytes: 1024 ** 3, totalBytes: 2 * 1024 ** 3 },
    timeSynchronised: true,
    registry: { kind: 'reached', text: 'the registry has registry.acme.io/os/edge:v1' },
    ...changes,
  };
}

/** A partition of the disk 8:0, of 1 GiB. */
export function partition(
  number: number,
  label: string | undefined,
  more: Partial<PartitionFacts> = {},
): PartitionFacts {
  return {
    device: `/dev/sda${number}`,
    deviceNumber: `8:${number}`,
    disk: '8:0',
    number,
    partUuid: `6b1d1c2e-54b1-4d8e-9a4f-6f2f6f6a0a0${number}`,
    label,
    typeGuid: '0fc63daf-8483-4772-8e79-3d69d8477de4',
    sizeBytes: 1024 ** 3,
    ...more,
  };
}

/** A node with labelled slots that runs from the second, GRUB, one registry and one key. */
export function initFacts(changes: Partial<InitFacts> = {}): InitFacts {
  return {
    partitions: [
      partition(1, 'esp', { sizeBytes: 256 * 1024 ** 2 }),
      partition(2, 'root-a'),
      partition(3, 'root-b'),
      partition(4, 'data', { sizeBytes: 8 * 1024 ** 3 }),
    ],
    rootDevices: new Set(['254:0', '8:3']),
    stateDevice: '8:4',
    loaders: [
      {
        type: 'grub',
        confidence: 'certain',
        reasons: ['/boot/grub/grubenv is an environment block of GRUB'],
        settings: { environment: '/boot/grub/grubenv' },
      },
    ],
    machine: { text: 'ACME Gateway 2', source: 'the product name of the firmware' },
    registries: [{ host: 'registry.acme.io', authFile: '/etc/kaon/auth.json' }],
    keys: ['/etc/kaon/keys/release-1.pub'],
    ...changes,
  };
}
