import type { HostProbe } from '../core/ports.ts';
import { CommandCheck } from './command-check.ts';
import type { CommandRunner, HealthCheck, ScheduledCheck } from './health-check.ts';
import { HostCheck, type HostSettings } from './host-check.ts';
import { HttpCheck, type HttpSettings } from './http-check.ts';
import { KubernetesNodeCheck } from './kubernetes-node-check.ts';
import { SystemdUnitCheck } from './systemd-unit-check.ts';
import { TcpCheck } from './tcp-check.ts';

interface Common extends Omit<ScheduledCheck, 'check'> {
  readonly name: string;
  readonly isRequired: boolean;
}

/** A check as the configuration names it. */
export type CheckSettings =
  | (Common & { readonly kind: 'command'; readonly command: readonly string[] })
  | (Common & { readonly kind: 'http' } & HttpSettings)
  | (Common & { readonly kind: 'tcp'; readonly host: string; readonly port: number })
  | (Common & { readonly kind: 'kubelet'; readonly url: string })
  | (Common & { readonly kind: 'kubernetes-node'; readonly kubeconfig: string; readonly node: string | undefined })
  | (Common & { readonly kind: 'host' } & HostSettings)
  | (Common & { readonly kind: 'systemd-unit'; readonly unit: string; readonly maxRestarts: number | undefined });

/** What the kinds of checks work with. */
export interface CheckPorts {
  readonly commands: CommandRunner;
  readonly host: HostProbe;
}

/** The checks that `settings` name. */
export function createChecks(settings: readonly CheckSettings[], ports: CheckPorts): readonly ScheduledCheck[] {
  return settings.map((setting) => {
    const { timeoutMs, intervalMs, retries, startDelayMs, passes, after, baseline } = setting;
    const check = createCheck(setting, ports);
    return { check, timeoutMs, intervalMs, retries, startDelayMs, passes, after, baseline };
  });
}

function createCheck(setting: CheckSettings, { commands, host }: CheckPorts): HealthCheck {
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
    case 'systemd-unit':
      return new SystemdUnitCheck(name, isRequired, setting.unit, setting.maxRestarts, commands);
  }
}
