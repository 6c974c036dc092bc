import type { Command } from 'commander';
import { imageConfigFile, nodeConfigFile } from '../../config/config-files.ts';
import { loadConfig } from '../../config/load-config.ts';
import { formatReference } from '../../core/image-format/reference.ts';
import { openImageSource } from '../../image/registry-access.ts';
import { judgeImage } from '../../image/trust-access.ts';
import { askTrustFloors, floorsAsJson } from '../ask-trust-floors.ts';
import { CliError } from '../exit-codes.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { nodeAccess, policyOfConfig } from '../node-policy.ts';
import { accessOf, portsOf, referenceAt, type RegistryOptions, withRegistryOptions } from '../registry-options.ts';
import { renderExplained } from '../render-explained.ts';

interface ExplainOptions extends RegistryOptions {
  readonly from?: string;
  readonly config: string;
}

/** `trust explain`. */
export function addTrustCommands(program: Command, context: CliContext): void {
  const trust = addCommand(program, {
    usage: 'trust',
    description: 'Ask what the trust policy of this node makes of an image.',
    examples: ['trust explain registry.acme.io/os/edge:v2'],
  });
  const explain = addCommand(trust, {
    usage: 'explain <image>',
    description:
      'Say which rule applies to an image, and what is found of it, signature by signature; nothing is written.',
    examples: [
      'trust explain registry.acme.io/os/edge:v2',
      'trust explain registry.acme.io/os/edge:v2 --from oci-archive:/media/edge.tar --json',
    ],
  })
    .option('--from <source>', 'read it from oci:DIR[:NAME] or oci-archive:FILE[:NAME] instead of the registry')
    .option('--config <file>', 'the configuration of the node', nodeConfigFile);
  perform<ExplainOptions>(withRegistryOptions(explain), context, explainImage);
}

async function explainImage(invocation: Invocation<ExplainOptions>): Promise<number> {
  const { options, io, deps } = invocation;
  const reference = referenceAt(invocation, 0);
  const config = await loadConfig({ mainFile: options.config, imageFile: imageConfigFile });
  const floors = await askTrustFloors(invocation.api(), deps.builtAtMs);
  const policy = await policyOfConfig(config, () => io.clock.nowMs(), floors);
  const access = nodeAccess(accessOf(invocation), config, reference.registry);
  const opened = await openImageSource(reference, options.from, access, portsOf(invocation));
  try {
    const how = { isDeep: false, followed: config.trust.repositories === undefined ? floors.followed : undefined };
    const { verified, refusal } = await judgeImage(opened.source, reference, policy, how, io.interrupted);
    const text = renderExplained(formatReference(reference), verified, floors);
    const found = { ...verified, floors: floorsAsJson(floors) };
    if (refusal === undefined) {
      invocation.print(found, text);
      return 0;
    }
    if (options.json !== true) io.out(text);
    throw new CliError(refusal.code, refusal.message, { details: found, cause: refusal });
  } finally {
    opened.close();
  }
}
