import { type Command, Option } from 'commander';
import { generateKeyPair } from '../../image/keygen.ts';
import { CliError } from '../exit-codes.ts';
import { printable } from '../format-values.ts';
import { addCommand, type CliContext, perform } from '../invocation.ts';
import { type PasswordOptions, passwordOption, readPassword } from '../read-signing-key.ts';

interface KeygenOptions extends PasswordOptions {
  readonly output: string;
  readonly algorithm: 'ed25519' | 'ecdsa-p256';
  readonly encrypt?: boolean;
}

/** `keygen`. */
export function addKeygenCommand(program: Command, context: CliContext): void {
  const keygen = addCommand(program, {
    usage: 'keygen',
    isOffline: true,
    description: 'Make a key pair for signing images or triggers: NAME.key and NAME.pub. Nothing is overwritten.',
    examples: [
      'keygen --output release-1',
      'keygen --output release-2 --algorithm ecdsa-p256 --encrypt --password-file release-2.password',
    ],
  })
    .requiredOption('--output <name>', 'where the files go, without .key and .pub')
    .addOption(
      new Option('--algorithm <name>', 'kind of key; triggers want ed25519')
        .choices(['ed25519', 'ecdsa-p256'])
        .default('ed25519'),
    );
  keygen.option('--encrypt', 'encrypt the private key with a password, as cosign does').option(...passwordOption);
  perform<KeygenOptions>(keygen, context, async (invocation) => {
    const { output, algorithm, encrypt } = invocation.options;
    const password = encrypt === true ? await readPassword(invocation) : undefined;
    if (encrypt === true && (password === undefined || password === '')) {
      throw new CliError('usage-invalid', 'cannot encrypt the key: no password is given', {
        fix: 'Name a file with --password-file FILE, or set COSIGN_PASSWORD.',
      });
    }
    const privateKeyFile = `${output}.key`;
    const publicKeyFile = `${output}.pub`;
    const { fingerprint } = await generateKeyPair({ algorithm, privateKeyFile, publicKeyFile, password });
    const files = `wrote ${printable(privateKeyFile)} (keep it off the nodes) and ${printable(publicKeyFile)}\n`;
    invocation.print({ privateKeyFile, publicKeyFile, algorithm, fingerprint }, `${files}fingerprint ${fingerprint}\n`);
    return 0;
  });
}
