import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { AgentError } from '../core/errors.ts';
import { parseStrictly } from './run-program.ts';
import type { SlotName } from '../core/update-state.ts';
import { imageConfigFile, nodeConfigFile } from '../config/config-files.ts';

/** What kaon-slotd is started with. */
export interface SlotdOptions {
  readonly config: string;
  readonly imageConfig: string;
  readonly stateDir: string;
  /** Where locks lie that must not outlive a boot. */
  readonly runtimeDir: string;
  /** Where to listen; `undefined`: on the socket that systemd passes. */
  readonly listen: string | undefined;
  readonly idleMs: number;
  readonly bootedSlot: SlotName | undefined;
  readonly areFileSlotsAllowed: boolean;
  readonly rebootCommand: readonly string[] | undefined;
}

export const slotdHelp = `kaon-slotd: writes slots and speaks to the loader, for kaond

Usage: kaon-slotd [options]

  --config FILE           the node's configuration (${nodeConfigFile})
  --image-config FILE     the image's configuration (${imageConfigFile})
  --state-dir DIR         where its own records lie (/var/lib/kaon-slotd)
  --listen PATH           listen on a unix socket at PATH; without it on the socket that systemd passes
  --idle SECONDS          exit after so long without a request (30)
  --help, --version

For tests, the demo and development, never on a node:
  --booted-slot a|b       believe this instead of looking at what / is mounted from
  --allow-file-slots      let root write to partitions of kind file
  --reboot-command JSON   run this instead of systemctl reboot, as ["program","argument"]

Example: kaon-slotd --listen /tmp/slotd.sock --config ./kaon.yaml --booted-slot a --allow-file-slots
`;

/** Parses the arguments. Throws `usage-invalid`. */
export function parseSlotdOptions(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
): SlotdOptions | 'help' | 'version' {
  const { values } = parseOptions(argv);
  if (values.help === true) return 'help';
  if (values.version === true) return 'version';
  const booted = values['booted-slot'];
  if (booted !== undefined && booted !== 'a' && booted !== 'b') throw wrong('--booted-slot', booted, 'a or b');
  const idle = values.idle ?? '30';
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(idle)) throw wrong('--idle', idle, 'seconds');
  const reboot = values['reboot-command'];
  return {
    config: values.config ?? nodeConfigFile,
    imageConfig: values['image-config'] ?? imageConfigFile,
    // systemd names the directory that it made.
    stateDir: values['state-dir'] ?? environment['STATE_DIRECTORY'] ?? '/var/lib/kaon-slotd',
    runtimeDir: environment['RUNTIME_DIRECTORY'] ?? (values.listen === undefined ? '/run' : dirname(values.listen)),
    listen: values.listen,
    idleMs: Number(idle) * 1000,
    bootedSlot: booted,
    areFileSlotsAllowed: values['allow-file-slots'] ?? false,
    rebootCommand: reboot === undefined ? undefined : parseCommand('--reboot-command', reboot),
  };
}

function parseOptions(argv: readonly string[]) {
  return parseStrictly('kaon-slotd', () =>
    parseArgs({
      args: [...argv],
      options: {
        config: { type: 'string' },
        'image-config': { type: 'string' },
        'state-dir': { type: 'string' },
        listen: { type: 'string' },
        idle: { type: 'string' },
        'booted-slot': { type: 'string' },
        'allow-file-slots': { type: 'boolean' },
        'reboot-command': { type: 'string' },
        help: { type: 'boolean' },
        version: { type: 'boolean' },
      },
    }),
  );
}

/** A program and its arguments, as JSON. Throws `usage-invalid`. */
function parseCommand(option: string, text: string): readonly string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong(option, text, 'a JSON list of strings');
  }
  const isCommand = Array.isArray(value) && value.length > 0 && value.every((part) => typeof part === 'string');
  if (!isCommand) throw wrong(option, text, 'a JSON list of strings');
  return value as readonly string[];
}

function wrong(option: string, found: string, want: string): AgentError {
  return new AgentError('usage-invalid', `cannot start: ${option} is ${JSON.stringify(found)}, want ${want}`);
}
