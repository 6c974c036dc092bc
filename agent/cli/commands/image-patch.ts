import type { Command } from 'commander';
import type { Reference } from '../../core/image-format/reference.ts';
import { patchImage, type PublishedPatch } from '../../image/patch-image.ts';
import { layoutTarget, type ReferrerTarget, registryTarget } from '../../image/patch-target.ts';
import { openImageSource, openPusher, parseLayoutLocation } from '../../image/registry-access.ts';
import { signInRegistry } from '../../image/sign-image.ts';
import { formatBytes, printable, shortDigest } from '../format-values.ts';
import { CliError } from '../exit-codes.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { wholeNumber } from '../option-values.ts';
import { type PasswordOptions, passwordOption, readSigningKey } from '../read-signing-key.ts';
import { accessOf, portsOf, referenceAt, type RegistryOptions, withRegistryOptions } from '../registry-options.ts';

interface PatchOptions extends RegistryOptions, PasswordOptions {
  readonly key?: string;
  readonly level: number;
  readonly layout?: string;
  readonly oldFrom?: string;
}

/** `image patch`. */
export function addPatch(image: Command, context: CliContext): void {
  const patch = addCommand(image, {
    usage: 'patch <old> <new>',
    isOffline: true,
    description:
      'Put a patch from an older image beside a newer one: nodes that run the older one fetch it where that is less.',
    examples: [
      'image patch registry.acme.io/os/edge:v1 registry.acme.io/os/edge:v2',
      'image patch registry.acme.io/os/edge:v1 registry.acme.io/os/edge:v2 --old-from oci:./edge-v1 --layout ./edge-v2',
    ],
  })
    .option('--key <file>', 'sign the patch as well, for those who want all signed; nodes do not ask for it')
    .option(...passwordOption)
    .option('--level <n>', 'zstd level', wholeNumber(1, 19), 19)
    .option('--layout <dir[:name]>', 'the newer image lies in this layout, and the patch is put there')
    .option('--old-from <source>', 'read the older image from oci:DIR[:NAME] or oci-archive:FILE[:NAME]');
  perform<PatchOptions>(withRegistryOptions(patch), context, async (invocation) => {
    const made = await makePatch(invocation);
    invocation.print(made, renderPatch(made));
    return 0;
  });
}

async function makePatch(invocation: Invocation<PatchOptions>): Promise<PublishedPatch> {
  const { options, io } = invocation;
  const { interrupted } = io;
  const [oldReference, newReference] = [referenceAt(invocation, 0), referenceAt(invocation, 1)];
  if (options.key !== undefined && options.layout !== undefined) {
    throw new CliError('usage-invalid', 'cannot sign a patch in a layout', {
      fix: 'Leave --key out, or push the layout and make the patch in the registry.',
    });
  }
  const key = options.key === undefined ? undefined : await readSigningKey(invocation, options.key);
  const access = accessOf(invocation);
  const ports = portsOf(invocation);
  const newFrom = options.layout === undefined ? undefined : `oci:${options.layout}`;
  const older = await openImageSource(oldReference, options.oldFrom, access, ports);
  const newer = await openImageSource(newReference, newFrom, access, ports);
  const pusher = options.layout === undefined ? await openPusher(newReference, access, ports) : undefined;
  try {
    const from = { source: older.source, image: await older.source.resolve(oldReference, interrupted) };
    const to = { source: newer.source, image: await newer.source.resolve(newReference, interrupted) };
    const target: ReferrerTarget =
      pusher === undefined
        ? layoutTarget(parseLayoutLocation(options.layout ?? '').directory, interrupted)
        : registryTarget(pusher, interrupted);
    const made = await patchImage(from, to, target, options.level, interrupted);
    if (pusher !== undefined && key !== undefined && made.digest !== undefined) {
      const signed: Reference = { ...newReference, tag: undefined, digest: made.digest };
      await signInRegistry(pusher, signed, key, interrupted, ['simple-signing']);
    }
    return made;
  } finally {
    older.close();
    newer.close();
    pusher?.close();
  }
}

/** What a patch spares, for people. */
function renderPatch({ digest, base, subject, partitions }: PublishedPatch): string {
  if (digest === undefined) return 'no patch: nothing of the newer image becomes smaller by one\n';
  const lines = partitions.map(
    ({ name, patchBytes, insteadOfBytes }) =>
      `${name}: ${formatBytes(patchBytes)} in place of ${formatBytes(insteadOfBytes)}\n`,
  );
  const head = `patch ${digest} from ${shortDigest(base)} to ${shortDigest(subject)}\n`;
  return `${head}${lines.map(printable).join('')}`;
}
