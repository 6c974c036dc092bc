import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { parseReference } from '../../core/image-format/reference.ts';
import { signTrigger } from '../../image/sign-trigger.ts';
import { CliError } from '../exit-codes.ts';
import { printable } from '../format-values.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { durationMs, wholeNumber } from '../option-values.ts';
import { readInput } from '../read-input.ts';
import { type PasswordOptions, passwordOption, readSigningKey } from '../read-signing-key.ts';

/** What kaond takes as a body. */
const envelopeLimitBytes = 64 * 1024;

interface SignOptions extends PasswordOptions {
  readonly key: string;
  readonly image: string;
  readonly action: 'stage' | 'activate';
  readonly sequence: number;
  readonly expiresIn: number;
  readonly nodeId?: string;
  readonly compatible?: string;
  readonly output?: string;
}

/** `trigger send`, `trigger sign`. */
export function addTriggerCommands(program: Command, context: CliContext): void {
  const trigger = addCommand(program, {
    usage: 'trigger',
    description: 'Sign and send triggers: requests of a controller that a node obeys by its key.',
    examples: ['trigger send trigger.json'],
  });

  const send = addCommand(trigger, {
    usage: 'send <file>',
    description: 'Give a signed trigger to kaond; - reads it from stdin.',
    examples: ['trigger send trigger.json', 'trigger send - < trigger.json'],
  });
  perform(send, context, async (invocation) => {
    const envelope = parseEnvelope(await readInput(invocation.deps, invocation.argument(0), envelopeLimitBytes));
    const { value, raw } = await invocation.api().sendTrigger(envelope);
    const text = `update ${value.updateId} is accepted: ${value.action}, asked for by key ${value.keyId}`;
    invocation.print(raw, `${printable(text)}\n`);
    return 0;
  });

  const sign = addCommand(trigger, {
    usage: 'sign',
    isOffline: true,
    description: 'Sign a trigger with an Ed25519 key that the nodes list under triggers.keys.',
    examples: [
      'trigger sign --key fleet-1.key --image registry.acme.io/os/edge@sha256:… --action stage --sequence 42 --expires-in 1h',
    ],
  })
    .requiredOption('--key <file>', 'the private key, PEM')
    .option(...passwordOption)
    .requiredOption('--image <ref@digest>', 'the image, with its digest')
    .addOption(
      new Option('--action <action>', 'what is asked for').choices(['stage', 'activate']).makeOptionMandatory(),
    )
    .requiredOption('--sequence <n>', 'higher than in every trigger before', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .requiredOption('--expires-in <duration>', 'how long it may be used', durationMs)
    .option('--node-id <id>', 'only for the node with this id')
    .option('--compatible <name>', 'only for nodes of this kind')
    .option('--output <file>', 'write the trigger there instead of to stdout');
  perform<SignOptions>(sign, context, signToOutput);
}

async function signToOutput(invocation: Invocation<SignOptions>): Promise<number> {
  const { options, io } = invocation;
  const { image, action, sequence, nodeId, compatible } = options;
  if (parseReference(image).digest === undefined) {
    throw new CliError('usage-invalid', 'cannot sign the trigger: --image has no digest', {
      fix: 'Write --image HOST/NAME@sha256:…; a trigger names one image, not a tag.',
    });
  }
  const key = await readSigningKey(invocation, options.key);
  const node =
    nodeId === undefined && compatible === undefined
      ? undefined
      : { ...(nodeId === undefined ? {} : { id: nodeId }), ...(compatible === undefined ? {} : { compatible }) };
  const expiresAtMs = io.clock.nowMs() + options.expiresIn;
  const signed = signTrigger({ image, action, sequence, expiresAtMs, node }, key);
  if (options.output === undefined) {
    invocation.print(signed, `${JSON.stringify(signed)}\n`);
    return 0;
  }
  await writeOutput(options.output, `${JSON.stringify(signed)}\n`);
  const expiresAt = new Date(expiresAtMs).toISOString();
  invocation.print(
    { output: options.output, expiresAt, keyFingerprint: key.publicKey.fingerprint },
    `wrote ${printable(options.output)}; it may be used until ${expiresAt}\n`,
  );
  return 0;
}

async function writeOutput(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError('usage-invalid', `cannot write ${path}: ${reason}`, { fix: 'Name another --output.', cause });
  }
}

function parseEnvelope(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CliError('trigger-invalid', 'cannot send the trigger: it is not JSON', {
      fix: 'Make it with kaonctl trigger sign.',
      cause,
    });
  }
}
