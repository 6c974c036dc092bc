import { parseArgs } from 'node:util';
import { imageConfigFile, nodeConfigFile } from '../config/config-files.ts';
import { AgentError } from '../core/errors.ts';
import { parseStrictly } from './run-program.ts';

/** What kaon-check is started with. */
export interface CheckOptions {
  readonly config: string;
  readonly imageConfig: string;
  /** Where to listen; `undefined`: on the socket that systemd passes. */
  readonly listen: string | undefined;
  readonly idleMs: number;
}

export const checkHelp = `kaon-check: runs the health checks of this node, for kaond

Usage: kaon-check [options]

  --config FILE           the node's configuration (${nodeConfigFile})
  --image-config FILE     the image's configuration (${imageConfigFile})
  --listen PATH           listen on a unix socket at PATH; without it on the socket that systemd passes
  --idle SECONDS          exit after so long without a request (30)
  --help, --version

Example: kaon-check --listen /tmp/check.sock --config ./kaon.yaml
`;

/** Parses the arguments. Throws `usage-invalid`. */
export function parseCheckOptions(argv: readonly string[]): CheckOptions | 'help' | 'version' {
  const { values } = parseStrictly('kaon-check', () =>
    parseArgs({
      args: [...argv],
      options: {
        config: { type: 'string' },
        'image-config': { type: 'string' },
        listen: { type: 'string' },
        idle: { type: 'string' },
        help: { type: 'boolean' },
        version: { type: 'boolean' },
      },
    }),
  );
  if (values.help === true) return 'help';
  if (values.version === true) return 'version';
  const idle = values.idle ?? '30';
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(idle)) {
    throw new AgentError('usage-invalid', `cannot start: --idle is ${JSON.stringify(idle)}, want seconds`);
  }
  return {
    config: values.config ?? nodeConfigFile,
    imageConfig: values['image-config'] ?? imageConfigFile,
    listen: values.listen,
    idleMs: Number(idle) * 1000,
  };
}
