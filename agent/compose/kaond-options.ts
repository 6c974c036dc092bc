import { parseArgs } from 'node:util';
import { imageConfigFile, nodeConfigFile } from '../config/config-files.ts';
import { AgentError } from '../core/errors.ts';
import { parseStrictly } from './run-program.ts';
import { parseSlotdOptions } from './slotd-options.ts';

/** What kaond is started with. */
export interface KaondOptions {
  readonly config: string;
  readonly imageConfig: string;
  /** Where the copy of the configuration lies, and the state where no configuration can be read. */
  readonly defaultStateDir: string;
  readonly slotdSocket: string;
  /** Arguments for a kaon-slotd of its own; `undefined`: systemd starts it. */
  readonly spawnSlotd: readonly string[] | undefined;
  /** Where kaon-check listens; `undefined`: checks run in this process. */
  readonly checkSocket: string | undefined;
  /** `undefined`: the kernel's id of this boot. */
  readonly bootId: string | undefined;
  /** Below it lies what the kernel kept of earlier boots: `/` on a node. */
  readonly evidenceRoot: string;
  readonly isCheckOnly: boolean;
}

export const kaondHelp = `kaond: the update agent of this node

Usage: kaond [options]

  --config FILE           the node's configuration (${nodeConfigFile})
  --image-config FILE     the image's configuration (${imageConfigFile})
  --state-dir DIR         where a copy of the last good configuration is kept (/var/lib/kaon)
  --slotd-socket PATH     where kaon-slotd listens (/run/kaon-slotd.sock)
  --check-socket PATH     where kaon-check listens (/run/kaon-check.sock)
  --check-config          say whether the configuration and its keys can be used, and exit
  --help, --version

For tests, the demo and development, never on a node:
  --spawn-slotd           start kaon-slotd as a child, with the options below, and run health checks in this process
  --slotd-state-dir DIR, --booted-slot a|b, --allow-file-slots, --reboot-command JSON   see kaon-slotd --help
  --boot-id ID            believe this instead of the kernel's id of this boot
  --evidence-root DIR     look for panic records and the watchdog below this directory instead of /

Example: kaond --check-config --config ./kaon.yaml
`;

/** Parses the arguments. Throws `usage-invalid`. */
export function parseKaondOptions(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
): KaondOptions | 'help' | 'version' {
  const { values } = parseOptions(argv);
  if (values.help === true) return 'help';
  if (values.version === true) return 'version';
  const config = values.config ?? nodeConfigFile;
  const imageConfig = values['image-config'] ?? imageConfigFile;
  const slotdSocket = values['slotd-socket'] ?? '/run/kaon-slotd.sock';
  const forSlotd = slotdArguments(values);
  const isSpawning = values['spawn-slotd'] ?? false;
  if (forSlotd.first !== undefined && !isSpawning) {
    throw new AgentError('usage-invalid', `cannot start kaond: ${forSlotd.first} wants --spawn-slotd`);
  }
  const spawnSlotd = [
    ...['--listen', slotdSocket, '--config', config, '--image-config', imageConfig],
    ...forSlotd.argv,
  ];
  // What kaon-slotd would refuse is refused here, where somebody reads it.
  parseSlotdOptions(spawnSlotd, {});
  const bootId = values['boot-id'];
  if (bootId !== undefined && !/^[0-9a-f-]{1,36}$/.test(bootId)) {
    throw new AgentError('usage-invalid', 'cannot start kaond: --boot-id wants up to 36 of 0-9, a-f and -');
  }
  return {
    config,
    imageConfig,
    defaultStateDir: values['state-dir'] ?? environment['STATE_DIRECTORY'] ?? '/var/lib/kaon',
    slotdSocket,
    spawnSlotd: isSpawning ? spawnSlotd : undefined,
    checkSocket: values['check-socket'] ?? (isSpawning ? undefined : '/run/kaon-check.sock'),
    bootId,
    evidenceRoot: values['evidence-root'] ?? '/',
    isCheckOnly: values['check-config'] ?? false,
  };
}

interface SlotdValues {
  readonly 'slotd-state-dir'?: string | undefined;
  readonly 'booted-slot'?: string | undefined;
  readonly 'reboot-command'?: string | undefined;
  readonly 'allow-file-slots'?: boolean | undefined;
}

/** The options for kaon-slotd by its own names, and the first of them by the name that it has here. */
function slotdArguments(values: SlotdValues): { readonly argv: readonly string[]; readonly first: string | undefined } {
  const given = [
    { own: '--slotd-state-dir', handed: ['--state-dir', values['slotd-state-dir']] },
    { own: '--booted-slot', handed: ['--booted-slot', values['booted-slot']] },
    { own: '--reboot-command', handed: ['--reboot-command', values['reboot-command']] },
    { own: '--allow-file-slots', handed: [values['allow-file-slots'] === true ? '--allow-file-slots' : undefined] },
  ].flatMap(({ own, handed }) => {
    const argv = handed.filter((part) => part !== undefined);
    return argv.length === handed.length ? [{ own, argv }] : [];
  });
  return { argv: given.flatMap(({ argv }) => argv), first: given[0]?.own };
}

function parseOptions(argv: readonly string[]) {
  return parseStrictly('kaond', () =>
    parseArgs({
      args: [...argv],
      options: {
        config: { type: 'string' },
        'image-config': { type: 'string' },
        'state-dir': { type: 'string' },
        'slotd-socket': { type: 'string' },
        'check-socket': { type: 'string' },
        'check-config': { type: 'boolean' },
        'spawn-slotd': { type: 'boolean' },
        'slotd-state-dir': { type: 'string' },
        'booted-slot': { type: 'string' },
        'allow-file-slots': { type: 'boolean' },
        'reboot-command': { type: 'string' },
        'boot-id': { type: 'string' },
        'evidence-root': { type: 'string' },
        help: { type: 'boolean' },
        version: { type: 'boolean' },
      },
    }),
  );
}
