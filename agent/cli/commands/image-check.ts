import type { Command } from 'commander';
import { imageConfigFile } from '../../config/config-files.ts';
import { loadConfig, readKeyFile } from '../../config/load-config.ts';
import type { Reference } from '../../core/image-format/reference.ts';
import { inspectImage } from '../../image/inspect-image.ts';
import { openImageSource, type RegistryAccess } from '../../image/registry-access.ts';
import { judgeImage, policyOfKeys } from '../../image/trust-access.ts';
import { CliError } from '../exit-codes.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { nodeAccess, policyOfConfig } from '../node-policy.ts';
import { type NamedValue, namedValues } from '../option-values.ts';
import { accessOf, portsOf, referenceAt, type RegistryOptions, withRegistryOptions } from '../registry-options.ts';
import { renderInspected, renderVerified } from '../render-image.ts';

interface InspectOptions extends RegistryOptions {
  readonly from?: string;
  readonly config?: string;
}

interface VerifyOptions extends InspectOptions {
  readonly key?: readonly NamedValue[];
  readonly deep?: boolean;
}

const fromText = 'read it from oci:DIR[:NAME] or oci-archive:FILE[:NAME] instead of the registry';

/** `image inspect`. */
export function addInspect(image: Command, context: CliContext): void {
  const inspect = addCommand(image, {
    usage: 'inspect <reference>',
    isOffline: true,
    description: 'Show what an image says of itself; its signatures are counted, not verified.',
    examples: [
      'image inspect registry.acme.io/os/edge:v2',
      'image inspect registry.acme.io/os/edge:v2 --from oci:./edge-v2',
    ],
  })
    .option('--from <source>', fromText)
    .option('--config <file>', 'the configuration of the node as which, and by whose mirrors, it is fetched');
  perform<InspectOptions>(withRegistryOptions(inspect), context, async (invocation) => {
    const reference = referenceAt(invocation, 0);
    const { options, io } = invocation;
    const access = await accessWith(invocation, reference);
    const opened = await openImageSource(reference, options.from, access, portsOf(invocation));
    try {
      const found = await inspectImage(opened.source, reference, io.interrupted);
      invocation.print(found, renderInspected(found));
      return 0;
    } finally {
      opened.close();
    }
  });
}

/** How the registry of `reference` is reached by the options, and as the node of `--config` does. */
async function accessWith(invocation: Invocation<InspectOptions>, reference: Reference): Promise<RegistryAccess> {
  const { config: mainFile } = invocation.options;
  if (mainFile === undefined) return accessOf(invocation);
  const config = await loadConfig({ mainFile, imageFile: imageConfigFile });
  return nodeAccess(accessOf(invocation), config, reference.registry);
}

/** `image verify`. */
export function addVerify(image: Command, context: CliContext): void {
  const verify = addCommand(image, {
    usage: 'verify <reference>',
    isOffline: true,
    description: 'Judge the signatures of an image, by the keys that are named or by the trust rules of a node.',
    examples: [
      'image verify registry.acme.io/os/edge:v2 --key release-1=release-1.pub',
      'image verify registry.acme.io/os/edge:v2 --config /etc/kaon/kaon.yaml --deep',
    ],
  })
    .option('--from <source>', fromText)
    .option('--key <name=file>', 'a public key, PEM, one of which must have signed; repeat it for more', namedValues)
    .option('--config <file>', 'the configuration of the node whose trust rules decide')
    .option('--deep', 'fetch the layers as well, and check their digests');
  perform<VerifyOptions>(withRegistryOptions(verify), context, verifyReference);
}

async function verifyReference(invocation: Invocation<VerifyOptions>): Promise<number> {
  const { options, io } = invocation;
  const reference = referenceAt(invocation, 0);
  const { policy, access } = await judgementOf(invocation, reference);
  const opened = await openImageSource(reference, options.from, access, portsOf(invocation));
  try {
    const isDeep = options.deep === true;
    const { verified, refusal } = await judgeImage(opened.source, reference, policy, { isDeep }, io.interrupted);
    if (refusal !== undefined) {
      if (options.json !== true) io.out(renderVerified(verified));
      throw new CliError(refusal.code, refusal.message, { details: { ...verified }, cause: refusal });
    }
    invocation.print(verified, renderVerified(verified));
    return 0;
  } finally {
    opened.close();
  }
}

/** The policy that the options name, and how the registry is reached under it. */
async function judgementOf(invocation: Invocation<VerifyOptions>, reference: Reference) {
  const { io, deps } = invocation;
  const { key: keys = [], config: configFile } = invocation.options;
  if (keys.length > 0 === (configFile !== undefined)) {
    throw new CliError('usage-invalid', 'cannot verify the image: want either --key or --config', {
      fix: 'Name keys with --key NAME=FILE, or a configuration with --config FILE.',
    });
  }
  if (configFile === undefined) {
    return { policy: policyOfKeys(await readKeys(keys), reference), access: accessOf(invocation) };
  }
  const config = await loadConfig({ mainFile: configFile, imageFile: imageConfigFile });
  return {
    policy: await policyOfConfig(config, () => io.clock.nowMs(), { buildMs: deps.builtAtMs, signedMs: undefined }),
    access: nodeAccess(accessOf(invocation), config, reference.registry),
  };
}

function readKeys(keys: readonly NamedValue[]) {
  return Promise.all(keys.map(async ({ name, value }) => ({ id: name, pem: await readKeyFile(value) })));
}
