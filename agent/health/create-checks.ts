import type { BaselineRule } from '../core/baseline.ts';
import type { HostProbe, RegistryProbe } from '../core/ports.ts';
import { CommandCheck } from './command-check.ts';
import { GreenbootCheck } from './greenboot-check.ts';
import { GreenbootScripts } from './greenboot-scripts.ts';
import type { CommandRunner, HealthCheck, ScheduledCheck } from './health-check.ts';
import type { AfterVerdict } from './health-runner.ts';
import { HostCheck, type HostSettings } from './host-check.ts';
import { HttpCheck, type HttpSettings } from './http-check.ts';
import { KubernetesNodeCheck } from './kubernetes-node-check.ts';
import { RegistryCheck } from './registry-check.ts';
import { SystemdStateCheck } from './systemd-state-check.ts';
import { SystemdUnitCheck } from './systemd-unit-check.ts';
import { TcpCheck } from './tcp-check.ts';

interface Common extends Omit<ScheduledCheck, 'check'> {
  readonly name: string;
  readonly isRequired: boolean;
}

type Greenboot = Common & { readonly kind: 'greenboot'; readonly directories: readonly string[] };

/** A check as the configuration names it. */
export type CheckSettings =
  | (Common & { readonly kind: 'command'; readonly command: readonly string[] })
  | (Common & { readonly kind: 'http' } & HttpSettings)
  | (Common & { readonly kind: 'tcp'; readonly host: string; readonly port: number })
  | (Common & { readonly kind: 'kubelet'; readonly url: string })
  | (Common & { readonly kind: 'kubernetes-node'; readonly kubeconfig: string; readonly node: string | undefined })
  | (Common & { readonly kind: 'host' } & HostSettings)
  | (Common & { readonly kind: 'registry-reachable' })
  | (Common & { readonly kind: 'systemd-state'; readonly ignore: readonly string[] })
  | (Common & { readonly kind: 'systemd-unit'; readonly unit: string; readonly maxRestarts: number | undefined })
  | Greenboot;

/** What the kinds of checks work with. */
export interface CheckPorts {
  readonly commands: CommandRunner;
  readonly host: HostProbe;
  readonly registry: RegistryProbe;
}

/** The checks that `settings` name. greenboot's wanted scripts are a second one, advisory, `<name>-wanted`. */
export function createChecks(settings: readonly CheckSettings[], ports: CheckPorts): readonly ScheduledCheck[] {
  return settings.flatMap((setting) => {
    const check = createCheck(setting, ports);
    return setting.kind === 'greenboot'
      ? [scheduled(setting, check, setting.baseline), scheduled(setting, wantedOf(setting, ports), 'none')]
      : [scheduled(setting, check, setting.baseline)];
  });
}

/** What `settings` want done once the verdict is known: greenboot's scripts of `green.d` or `red.d`. */
export function createAfterVerdict(
  settings: readonly CheckSettings[],
  { commands }: Pick<CheckPorts, 'commands'>,
): readonly AfterVerdict[] {
  const greenboots = settings.filter((setting) => setting.kind === 'greenboot');
  return greenboots.map(({ directories }) => async (isPassed, signal) => {
    const scripts = new GreenbootScripts(directories, commands);
    for (const path of (await scripts.list(isPassed ? 'green.d' : 'red.d')) ?? []) {
      if (!signal.aborted) await scripts.run(path, signal);
    }
  });
}

function scheduled(setting: Common, check: HealthCheck, baseline: BaselineRule): ScheduledCheck {
  const { timeoutMs, intervalMs, retries, startDelayMs, passes, after } = setting;
  return { check, timeoutMs, intervalMs, retries, startDelayMs, passes, after, baseline };
}

function wantedOf({ name, directories }: Greenboot, { commands }: CheckPorts): HealthCheck {
  return new GreenbootCheck(`${name}-wanted`, false, 'check/wanted.d', new GreenbootScripts(directories, commands));
}

function createCheck(setting: CheckSettings, { commands, host, registry }: CheckPorts): HealthCheck {
  const { name, isRequired } = setting;
  switch (setting.kind) {
    case 'command':
      return new CommandCheck(name, isRequired, setting.command, commands);
    case 'http':
      return new HttpCheck(name, isRequired, setting);
    case 'tcp':
      return new TcpCheck(name, isRequired, setting.host, setting.port);
    case 'kubelet':
      return new HttpCheck(name, isRequired, { url: setting.url, status: 200, bodyContains: 'ok' });
    case 'kubernetes-node':
      return new KubernetesNodeCheck(name, isRequired, setting.kubeconfig, setting.node);
    case 'host':
      return new HostCheck(name, isRequired, setting, host);
    case 'registry-reachable':
      return new RegistryCheck(name, isRequired, registry);
    case 'systemd-state':
      return new SystemdStateCheck(name, isRequired, setting.ignore, commands);
    case 'systemd-unit':
      return new SystemdUnitCheck(name, isRequired, setting.unit, setting.maxRestarts, commands);
    case 'greenboot':
      return new GreenbootCheck(
        name,
        isRequired,
        'check/required.d',
        new GreenbootScripts(setting.directories, commands),
      );
  }
}
