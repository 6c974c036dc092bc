import { type Command, Option } from 'commander';
import { generateKeyPair } from '../../image/keygen.ts';
import { printable } from '../format-values.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';

/** `keygen`. */
export function addKeygenCommand(program: Command, context: CliContext): void {
  const keygen = addCommand(program, {
    usage: 'keygen',
    isOffline: true,
    description: 'Make a key pair for signing images or triggers: NAME.key and NAME.pub. Nothing is overwritten.',
    examples: ['keygen --output release-1', 'keygen --output fleet-1 --algorithm ed25519'],
  })
    .requiredOption('--output <name>', 'where the files go, without .key and .pub')
    .addOption(
      new Option('--algorithm <name>', 'kind of key; triggers want ed25519')
        .choices(['ed25519', 'ecdsa-p256'])
        .default('ed25519'),
    );
  perform<{ output: string; algorithm: 'ed25519' | 'ecdsa-p256' }>(keygen, context, async (invocation) => {
    const { output, algorithm } = invocation.options;
    const privateKeyFile = `${output}.key`;
    const publicKeyFile = `${output}.pub`;
    const { fingerprint } = await generateKeyPair({ algorithm, privateKeyFile, publicKeyFile });
    const files = `wrote ${printable(privateKeyFile)} (keep it off the nodes) and ${printable(publicKeyFile)}\n`;
    invocation.print({ privateKeyFile, publicKeyFile, algorithm, fingerprint }, `${files}fingerprint ${fingerprint}\n`);
    return 0;
  });
}
