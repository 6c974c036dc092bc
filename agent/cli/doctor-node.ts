import { errorTable } from '../core/errors.ts';
import type { Finding } from './doctor.ts';
import { policyFindings } from './doctor-policy.ts';
import { formatBytes } from './format-values.ts';
import type { FileFault, NodeInspection, UnitView } from './node-inspection.ts';

const mebibyte = 1024 ** 2;
/** A journal has up to 64 MiB, and kaon-slotd's indexes up to 128 for each partition. */
const stateRoomLeast = 64 * mebibyte;
const stateRoomWanted = 256 * mebibyte;

/** What is well and what is not, from the node itself. */
export function examineNode(node: NodeInspection): readonly Finding[] {
  return [
    configFinding(node),
    ...node.fileFaults.map(fileFinding),
    ...('code' in node.config ? [] : policyFindings(node.config)),
    ...unitFindings(node.units),
    watchdogFinding(node),
    panicFinding(node),
    roomFinding(node),
    timeFinding(node),
    registryFinding(node),
  ];
}

function configFinding({ config, configFile, fileFaults }: NodeInspection): Finding {
  const name = 'configuration';
  if (!('code' in config)) {
    const keys = Object.keys(config.trust.keys).length;
    const rest = fileFaults.length === 0 ? `, and its ${keys} keys and other files can be used` : ' can be used';
    return { name, result: 'ok', text: `${configFile}${rest}` };
  }
  if (config.isDenied) return deniedFinding(name, config);
  return { name, result: 'fail', text: config.message, fix: errorTable[config.code].fix };
}

function fileFinding(fault: FileFault): Finding {
  const name = 'keys and files';
  if (fault.isDenied) return deniedFinding(name, fault);
  return { name, result: 'fail', text: fault.message, fix: errorTable[fault.code].fix };
}

/** kaond may be able to read what this user can't. */
function deniedFinding(name: string, { message }: FileFault): Finding {
  return { name, result: 'warn', text: message, fix: 'Run kaonctl doctor as root, or as a member of group kaon.' };
}

interface WantedUnit {
  readonly name: string;
  readonly isActive: boolean;
  /** What is missing without it. */
  readonly loss: string;
  /** The node does its work without it. */
  readonly isSpare?: true;
}

const wantedUnits: readonly WantedUnit[] = [
  { name: 'kaond.service', isActive: true, loss: 'nothing updates this node, and no trial gets a verdict' },
  { name: 'kaon-slotd.socket', isActive: true, loss: 'no slot can be written and no loader read' },
  {
    name: 'kaon-check.socket',
    isActive: true,
    loss: 'kaond runs the health checks itself, inside its own sandbox',
    isSpare: true,
  },
  { name: 'kaon-trial-guard.timer', isActive: true, loss: 'a trial whose agent never comes up stays for ever' },
  {
    name: 'kaon-health.service',
    isActive: false,
    loss: 'boot-complete.target does not wait for the verdict of a trial',
  },
];

function unitFindings(units: readonly UnitView[] | undefined): readonly Finding[] {
  if (units === undefined) {
    const fix = 'On a node with systemd, see systemctl status kaond.';
    return [{ name: 'units', result: 'warn', text: 'systemd cannot be asked about the units of kaon', fix }];
  }
  return wantedUnits.map((wanted) =>
    unitFinding(
      wanted,
      units.find(({ name }) => name === wanted.name),
    ),
  );
}

function unitFinding({ name: unit, isActive, loss, isSpare }: WantedUnit, found: UnitView | undefined): Finding {
  const name = 'units';
  const result = isSpare === true ? 'warn' : 'fail';
  if (found === undefined || found.loadState !== 'loaded') {
    const state = found?.loadState ?? 'not known';
    return {
      name,
      result,
      text: `${unit} is ${state}: ${loss}`,
      fix: 'Install the units of kaon in the image.',
    };
  }
  if (!found.fileState.startsWith('enabled')) {
    const text = `${unit} is ${found.fileState === '' ? 'not enabled' : found.fileState}: ${loss}`;
    return { name, result, text, fix: `Enable it in the image: systemctl enable ${unit}.` };
  }
  if (found.activeState === 'failed' || (isActive && found.activeState !== 'active')) {
    const text = `${unit} is ${found.activeState} (${found.result}): ${loss}`;
    return { name, result, text, fix: `See systemctl status ${unit} and its journal.` };
  }
  return { name, result: 'ok', text: `${unit} is enabled and ${found.activeState}` };
}

function watchdogFinding({ runtimeWatchdog, hasWatchdogDevice }: NodeInspection): Finding {
  const name = 'watchdog';
  if (!hasWatchdogDevice) {
    const text = 'there is no hardware watchdog: a kernel that hangs in a trial stays until somebody resets it';
    return { name, result: 'warn', text, fix: 'Enable the watchdog of the machine and its driver, softdog at least.' };
  }
  if (runtimeWatchdog === undefined || ['', '0', 'infinity'].includes(runtimeWatchdog)) {
    const text = 'systemd does not feed the hardware watchdog: a system that hangs in a trial is not reset';
    return { name, result: 'warn', text, fix: 'Set RuntimeWatchdogSec=30s in /etc/systemd/system.conf.' };
  }
  return { name, result: 'ok', text: `systemd feeds it, and it resets the node after ${runtimeWatchdog}` };
}

function panicFinding({ panicSeconds }: NodeInspection): Finding {
  const name = 'panic';
  const fix = 'Put panic=10 on the kernel command line of both slots.';
  if (panicSeconds === undefined) return { name, result: 'warn', text: 'what a panic leads to is not known', fix };
  if (panicSeconds === 0) {
    return { name, result: 'warn', text: 'a kernel that panics stays down: a trial would not come back', fix };
  }
  return { name, result: 'ok', text: 'a kernel that panics reboots' };
}

function roomFinding({ stateDir, config }: NodeInspection): Finding {
  const name = 'room';
  const place = 'code' in config ? 'the state directory' : config.stateDir;
  const fix = 'Free some space on its partition, or enlarge it.';
  if (stateDir === undefined) return { name, result: 'warn', text: `the room in ${place} is not known`, fix };
  const text = `${formatBytes(stateDir.availableBytes)} of ${formatBytes(stateDir.totalBytes)} free in ${place}`;
  if (stateDir.availableBytes < stateRoomLeast) return { name, result: 'fail', text, fix };
  return stateDir.availableBytes < stateRoomWanted ? { name, result: 'warn', text, fix } : { name, result: 'ok', text };
}

function timeFinding({ timeSynchronised }: NodeInspection): Finding {
  const name = 'time source';
  if (timeSynchronised === true) return { name, result: 'ok', text: 'the clock follows a time source' };
  const text = timeSynchronised === false ? 'the clock follows no time source' : timeSynchronised;
  return { name, result: 'warn', text, fix: 'Enable systemd-timesyncd or chrony, and give it a server in reach.' };
}

function registryFinding({ registry }: NodeInspection): Finding {
  const name = 'registry';
  if (registry === undefined)
    return { name, result: 'ok', text: 'no image is installed by which a registry could be asked' };
  const { kind, text } = registry;
  switch (kind) {
    case 'reached':
    case 'not-asked':
      return { name, result: 'ok', text };
    case 'cut-off':
      return {
        name,
        result: 'fail',
        text,
        fix: 'The fault is on this node: check routes, name servers, CA and clock.',
      };
    case 'silent':
      return { name, result: 'warn', text, fix: 'Check the registry, its credentials, and what stands in between.' };
  }
}
