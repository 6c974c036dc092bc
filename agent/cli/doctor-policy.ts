import type { KaonConfig } from '../config/config.ts';
import type { Finding } from './doctor.ts';

const name = 'policy';

/** What a valid configuration allows or leaves out that its operator may not have meant. */
export function policyFindings(config: KaonConfig): readonly Finding[] {
  const found = [
    ...trustFindings(config),
    ...registryFindings(config),
    ...trialFindings(config),
    ...slotFindings(config),
  ];
  return found.length > 0
    ? found
    : [{ name, result: 'ok', text: 'trust rules, checks, tries and slots look as meant' }];
}

function trustFindings({ trust: { keys, rules } }: KaonConfig): readonly Finding[] {
  if (rules.length === 0) {
    return [{ name, result: 'fail', text: 'there is no trust rule: every image is refused', fix: 'Add trust.rules.' }];
  }
  const used = new Set(rules.flatMap(({ require }) => require.keys));
  const unused = Object.keys(keys).filter((id) => !used.has(id));
  return [
    ...rules
      .filter(({ isDowngradeAllowed }) => isDowngradeAllowed)
      .map(({ prefix }): Finding => {
        const text = `images below the rollback floor are taken from ${prefix}`;
        return { name, result: 'warn', text, fix: 'Remove allowDowngrade from the rule unless it is meant.' };
      }),
    ...unused.map((id): Finding => {
      return {
        name,
        result: 'warn',
        text: `no rule uses key ${id}`,
        fix: `Add it to a rule, or remove trust.keys.${id}.`,
      };
    }),
  ];
}

function registryFindings({ registries }: KaonConfig): readonly Finding[] {
  return Object.entries(registries)
    .filter(([host, { isInsecureHttpAllowed }]) => isInsecureHttpAllowed && !isLoopback(host))
    .map(([host]) => {
      const text = `registry ${host} is spoken to in plain http: credentials can be read on the way`;
      return { name, result: 'warn', text, fix: `Use https, and caFile for a private CA; remove insecureHttp.` };
    });
}

function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
}

function trialFindings({ health, bootloader }: KaonConfig): readonly Finding[] {
  const own = health.checks.filter(({ isRequired, kind }) => isRequired && kind !== 'registry-reachable');
  const isOneShot = bootloader.type === 'tryboot' || bootloader.type === 'efi';
  return [
    ...(own.length === 0
      ? [
          {
            name,
            result: 'warn',
            text: 'no health check is required: a trial proves only that the agent came up',
            fix: 'Add checks of what this node is for under health.checks.',
          } as const,
        ]
      : []),
    ...(bootloader.tries === 1 && !isOneShot
      ? [
          {
            name,
            result: 'warn',
            text: 'a trial has one try: a single power cut in it leads back',
            fix: 'Set bootloader.tries to 3 or more, where the dialect has them.',
          } as const,
        ]
      : []),
  ];
}

function slotFindings({ slots }: KaonConfig): readonly Finding[] {
  const files = Object.values(slots).flatMap(({ partitions }) =>
    Object.values(partitions).filter(({ kind }) => kind === 'file'),
  );
  if (files.length === 0) return [];
  const text = 'slots lie in files: that is for tests and the demo';
  return [{ name, result: 'warn', text, fix: 'Name partitions under slots, by /dev/disk/by-partuuid.' }];
}
