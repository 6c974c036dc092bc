import { describe, expect, it } from 'vitest';
import { examineNode } from '../../../agent/cli/doctor-node.ts';
import type { NodeInspection } from '../../../agent/cli/node-inspection.ts';
import type { KaonConfig } from '../../../agent/config/config.ts';
import { inspection, soundConfig } from './node-samples.ts';

/** What is not well: result, name and text of each. */
function illOf(changes: Partial<NodeInspection>): readonly string[] {
  const ill = examineNode(inspection(changes)).filter(({ result }) => result !== 'ok');
  expect(ill.filter(({ fix }) => fix === undefined)).toEqual([]);
  return ill.map(({ result, name, text }) => `${result} ${name}: ${text}`);
}

function configured(changes: Partial<KaonConfig>): readonly string[] {
  return illOf({ config: { ...soundConfig, ...changes } });
}

describe('the doctor on the node itself', () => {
  it('finds nothing on one that is well', () => {
    expect(illOf({})).toEqual([]);
  });

  it.each([
    [{ runtimeWatchdog: '0' }, 'warn watchdog: systemd does not feed'],
    [{ runtimeWatchdog: undefined }, 'warn watchdog: systemd does not feed'],
    [{ hasWatchdogDevice: false }, 'warn watchdog: there is no hardware watchdog'],
    [{ panicSeconds: 0 }, 'warn panic: a kernel that panics stays down'],
    [{ stateDir: { availableBytes: 1, totalBytes: 2 } }, 'fail room: 1 B of 2 B free in /var/lib/kaon'],
    [{ stateDir: { availableBytes: 200 * 1024 ** 2, totalBytes: 1024 ** 3 } }, 'warn room: '],
    [{ stateDir: undefined }, 'warn room: the room in /var/lib/kaon is not known'],
    [{ timeSynchronised: false }, 'warn time source: the clock follows no time source'],
    [{ registry: { kind: 'cut-off', text: 'no route' } }, 'fail registry: no route'],
    [{ registry: { kind: 'silent', text: 'no answer' } }, 'warn registry: no answer'],
    [{ units: undefined }, 'warn units: systemd cannot be asked'],
  ] as const)('of %j says what is wrong, with a fix', (changes, words) => {
    const ill = illOf(changes);
    expect(ill).toHaveLength(1);
    expect(ill[0]).toContain(words);
  });

  it('says of a configuration why it cannot be used, and only warns where this user may not read it', () => {
    const fault = { code: 'config-invalid', message: 'cannot use the configuration: x', isDenied: false } as const;
    expect(illOf({ config: fault })).toEqual(['fail configuration: cannot use the configuration: x']);
    expect(illOf({ config: { ...fault, isDenied: true } })).toEqual([
      'warn configuration: cannot use the configuration: x',
    ]);
  });

  it('names each key that cannot be used', () => {
    const fault = {
      code: 'key-invalid',
      message: 'cannot read the key /k.pub: it does not exist',
      isDenied: false,
    } as const;
    expect(illOf({ fileFaults: [fault] })).toEqual([
      'fail keys and files: cannot read the key /k.pub: it does not exist',
    ]);
  });

  it('says what is missing without a unit', () => {
    const [kaond, socket, checks, timer, health] = inspection().units!;
    const bare = { ...timer!, loadState: 'not-found', activeState: 'inactive', fileState: '' };
    expect(illOf({ units: [kaond!, socket!, checks!, bare, health!] })).toEqual([
      'fail units: kaon-trial-guard.timer is not-found: a trial whose agent never comes up stays for ever',
    ]);
    expect(
      illOf({ units: [{ ...kaond!, activeState: 'failed', result: 'exit-code' }, socket!, checks!, timer!, health!] }),
    ).toEqual([
      'fail units: kaond.service is failed (exit-code): nothing updates this node, and no trial gets a verdict',
    ]);
    const masked = { ...checks!, loadState: 'masked', activeState: 'inactive', fileState: 'masked' };
    expect(illOf({ units: [kaond!, socket!, masked, timer!, health!] })).toEqual([
      'warn units: kaon-check.socket is masked: kaond runs the health checks itself, inside its own sandbox',
    ]);
    expect(illOf({ units: [kaond!, socket!, checks!, timer!, { ...health!, fileState: 'disabled' }] })[0]).toContain(
      'kaon-health.service is disabled',
    );
  });
});

describe('the sanity of a policy', () => {
  const [rule] = soundConfig.trust.rules;

  it.each([
    [
      { trust: { ...soundConfig.trust, keys: {}, rules: [] } },
      'fail policy: there is no trust rule: every image is refused',
    ],
    [
      { trust: { ...soundConfig.trust, rules: [{ ...rule!, isDowngradeAllowed: true }] } },
      'warn policy: images below the rollback floor are taken from registry.acme.io/os',
    ],
    [
      {
        trust: {
          ...soundConfig.trust,
          keys: { ...soundConfig.trust.keys, old: { ...soundConfig.trust.keys['release-1']!, file: '/old.pub' } },
          rules: [rule!],
        },
      },
      'warn policy: no rule uses key old',
    ],
    [
      { health: { ...soundConfig.health, checks: soundConfig.health.checks.slice(1) } },
      'warn policy: no health check is required: a trial proves only that the agent came up',
    ],
  ])('of %j is told', (changes, words) => {
    expect(configured(changes)).toEqual([words]);
  });

  it('warns of plain http but on loopback', () => {
    const plain = { ...soundConfig.registries['registry.acme.io']!, isInsecureHttpAllowed: true };
    expect(
      configured({ registries: { 'localhost:5000': plain, '127.0.0.1:5000': plain, '[::1]:5000': plain } }),
    ).toEqual([]);
    expect(configured({ registries: { '10.0.0.1': plain } })[0]).toContain(
      'registry 10.0.0.1 is spoken to in plain http',
    );
  });

  it('warns of one try where the loader has more', () => {
    expect(configured({ bootloader: { ...soundConfig.bootloader, tries: 1 } })[0]).toContain(
      'a single power cut in it leads back',
    );
    const tryboot = { type: 'tryboot', file: '/boot/autoboot.txt', partitions: { a: 2, b: 3 }, tries: 1 } as const;
    expect(configured({ bootloader: tryboot })).toEqual([]);
  });

  it('warns of slots in files', () => {
    const { a } = soundConfig.slots;
    const slot = { ...a, partitions: { root: { device: '/a.img', kind: 'file', keep: false } as const } };
    expect(configured({ slots: { a: slot, b: slot } })).toEqual([
      'warn policy: slots lie in files: that is for tests and the demo',
    ]);
  });
});
