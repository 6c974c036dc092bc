import { type Command, Option } from 'commander';
import { buildImage, type BuildInput } from '../../image/build-image.ts';
import { defaultFrameSizeBytes } from '../../image/build-layer.ts';
import { openLayoutSource, openPusher, parseLayoutLocation, pushImage } from '../../image/registry-access.ts';
import {
  type SignatureFormat,
  signatureFormats,
  signInLayout,
  signInRegistry,
  type SignedResult,
} from '../../image/sign-image.ts';
import { formatBytes, printable, shortDigest } from '../format-values.ts';
import { addCommand, type CliContext, type Invocation, perform } from '../invocation.ts';
import { collected, type NamedValue, namedValues, size, wholeNumber } from '../option-values.ts';
import { type PasswordOptions, passwordOption, readSigningKey } from '../read-signing-key.ts';
import { accessOf, portsOf, referenceAt, type RegistryOptions, withRegistryOptions } from '../registry-options.ts';
import { renderBuilt } from '../render-image.ts';

/** What a node decodes at once. */
const largestFrameBytes = 8 * 1024 * 1024;

interface BuildOptions {
  readonly name: string;
  readonly version: string;
  readonly compatible: readonly string[];
  readonly partition: readonly NamedValue[];
  readonly kernel?: string;
  readonly initrd: readonly string[];
  readonly uki?: string;
  readonly devicetree?: string;
  readonly bootOptions?: string;
  readonly output: string;
  readonly refName: string;
  readonly rollbackIndex: number;
  readonly minimumAgent?: string;
  readonly agentVersion?: string;
  readonly frameSize: number;
  readonly level: number;
  readonly previous?: string;
}

/** `image build`. */
export function addBuild(image: Command, context: CliContext): void {
  const build = addCommand(image, {
    usage: 'build',
    isOffline: true,
    description: 'Build an image of partition files into an OCI layout directory.',
    examples: [
      'image build --name edge --version 2 --compatible acme-gw-2 --partition root=rootfs.img --output ./edge-v2',
      'image build --name edge --version 2 --compatible acme-gw-2 --partition root=rootfs.img --kernel vmlinuz --initrd initrd.img --boot-options quiet --output ./edge-v2',
    ],
  })
    .requiredOption('--name <name>', 'name of the product')
    .requiredOption('--version <version>', 'what people call this release')
    .requiredOption('--compatible <kind>', 'a kind of node that may install it; repeat it for more', collected)
    .requiredOption('--partition <name=file>', 'what goes onto a partition; repeat it for more', namedValues)
    .requiredOption('--output <dir>', 'the layout, new or there already')
    .option('--ref-name <name>', 'name of the image in the layout', 'latest')
    .option('--rollback-index <n>', 'grows with security fixes; nodes refuse lower ones', wholeNumber(0, 2 ** 31), 0)
    .option('--minimum-agent <version>', 'the oldest kaon that can install it')
    .option('--agent-version <version>', 'the kaon inside the image');
  withEncodingOptions(build);
  withPayloadOptions(build);
  perform<BuildOptions>(build, context, async (invocation) => {
    const { options, deps, io } = invocation;
    const built = await buildImage({
      name: options.name,
      version: options.version,
      compatible: options.compatible,
      rollbackIndex: options.rollbackIndex,
      minimumAgent: options.minimumAgent,
      agentVersion: options.agentVersion,
      partitions: options.partition.map(({ name, value }) => ({ name, file: value })),
      payloads: payloadsOf(options),
      bootOptions: options.bootOptions,
      outputDirectory: options.output,
      refName: options.refName,
      frameSizeBytes: options.frameSize,
      level: options.level,
      previous: options.previous === undefined ? undefined : openLayoutSource(options.previous, deps.platform),
    });
    for (const warning of built.partitions.flatMap(({ warnings }) => warnings)) {
      io.err(`warning: ${printable(warning)}\n`);
    }
    invocation.print({ ...built, output: options.output }, renderBuilt(built, options.output));
    return 0;
  });
}

function withEncodingOptions(build: Command): void {
  build
    .addOption(
      new Option('--frame-size <size>', 'content of one frame: unit of verification')
        .argParser(size(4096, largestFrameBytes))
        .default(defaultFrameSizeBytes, '64KiB'),
    )
    .option('--level <n>', 'zstd level', wholeNumber(1, 19), 19)
    .option('--previous <layout>', 'the image that most nodes have (DIR[:NAME]): updates from it fetch least');
}

function withPayloadOptions(build: Command): void {
  build
    .option('--kernel <file>', 'the kernel, for a loader that cannot read a slot')
    .option('--initrd <file>', 'an initrd beside it; repeat it for more, in their order', collected, [])
    .option('--devicetree <file>', 'a device tree beside it')
    .option('--uki <file>', 'a unified kernel image in place of these')
    .option('--boot-options <line>', "kernel options of the image; the node's own come behind them");
}

type Payload = NonNullable<BuildInput['payloads']>[number];

function payloadsOf({ kernel, initrd, devicetree, uki }: BuildOptions): readonly Payload[] {
  const one = (role: Payload['role'], file: string | undefined) => (file === undefined ? [] : [{ role, file }]);
  const initrds = initrd.map((file) => ({ role: 'initrd', file }) as const);
  return [...one('uki', uki), ...one('kernel', kernel), ...initrds, ...one('devicetree', devicetree)];
}

/** `image push`. */
export function addPush(image: Command, context: CliContext): void {
  const push = addCommand(image, {
    usage: 'push <layout> <reference>',
    isOffline: true,
    description:
      'Copy an image, its signatures and patches from a layout (DIR[:NAME], or oci-archive:FILE) to a registry.',
    examples: [
      'image push ./edge-v2 registry.acme.io/os/edge:v2',
      'image push oci-archive:edge.tar registry.acme.io/os/edge:v2',
    ],
  });
  perform<RegistryOptions>(withRegistryOptions(push), context, async (invocation) => {
    const layout = invocation.argument(0);
    const from = /^oci(?:-archive)?:/.test(layout) ? layout : `oci:${layout}`;
    const reference = referenceAt(invocation, 1);
    const { io } = invocation;
    const copied = await pushImage(
      from,
      reference,
      accessOf(invocation),
      portsOf(invocation),
      ({ digest, sizeBytes }, isThere) => {
        const verb = isThere ? 'there already' : 'uploading';
        io.err(`${verb}: ${shortDigest(digest)} (${formatBytes(sizeBytes)})\n`);
      },
      io.interrupted,
    );
    const count = copied.signatureTags.length;
    const patches = copied.referrers.length === 0 ? '' : `${copied.referrers.length} referrers, `;
    const text = `pushed ${reference.repository}@${copied.digest}, ${count} signature objects, ${patches}${formatBytes(copied.uploadedBytes)} uploaded`;
    invocation.print({ repository: reference.repository, ...copied }, `${printable(text)}\n`);
    return 0;
  });
}

interface SignOptions extends RegistryOptions, PasswordOptions {
  readonly key: string;
  readonly format: 'both' | SignatureFormat;
  readonly layout?: string;
}

/** `image sign`. */
export function addSign(image: Command, context: CliContext): void {
  const sign = addCommand(image, {
    usage: 'sign <reference>',
    isOffline: true,
    description: 'Sign an image in a registry, or in a layout before it is pushed, beside the signatures it has.',
    examples: [
      'image sign --key release-1.key registry.acme.io/os/edge:v2',
      'image sign --key release-1.key --layout ./edge-v2 registry.acme.io/os/edge:v2',
    ],
  })
    .requiredOption('--key <file>', "the private key: PEM, or a key file of cosign's")
    .option(...passwordOption)
    .addOption(
      new Option('--format <format>', 'the tag of cosign 1 and 2, the bundle of cosign 3, or both')
        .choices(['both', ...signatureFormats])
        .default('both'),
    )
    .option('--layout <dir[:name]>', 'sign the image in this layout, for the repository of the reference');
  perform<SignOptions>(withRegistryOptions(sign), context, async (invocation) => {
    const signed = await signReference(invocation);
    const places = signed.formats.map((format) => (format === 'bundle' ? 'in a bundle' : `at tag ${signed.tag}`));
    const text = `signed ${signed.digest} with key ${signed.keyFingerprint}; the signature is ${places.join(' and ')}`;
    invocation.print(signed, `${printable(text)}\n`);
    return 0;
  });
}

async function signReference(invocation: Invocation<SignOptions>): Promise<SignedResult> {
  const { options, io } = invocation;
  const reference = referenceAt(invocation, 0);
  const formats = options.format === 'both' ? signatureFormats : [options.format];
  const key = await readSigningKey(invocation, options.key);
  if (options.layout !== undefined) {
    const { directory, refName } = parseLayoutLocation(options.layout);
    return signInLayout(directory, refName, reference, key, io.interrupted, formats);
  }
  const pusher = await openPusher(reference, accessOf(invocation), portsOf(invocation));
  try {
    return await signInRegistry(pusher, reference, key, io.interrupted, formats);
  } finally {
    pusher.close();
  }
}
