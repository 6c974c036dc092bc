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
