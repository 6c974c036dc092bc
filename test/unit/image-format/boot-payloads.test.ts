import { describe, expect, it } from 'vitest';
import { bootOf } from '../../../agent/core/image-format/boot-payloads.ts';
import { parseImageConfig, partitionLayers } from '../../../agent/core/image-format/image-config.ts';
import { type Manifest, mediaTypes } from '../../../agent/core/image-format/manifest.ts';

const digest = (byte: string) => `sha256:${byte.repeat(32)}`;
const rootLayer = digest('0a');
const kernel = { role: 'kernel', layer: digest('01') };
const initrd = { role: 'initrd', layer: digest('02') };
const microcode = { role: 'initrd', layer: digest('03') };
const devicetree = { role: 'devicetree', layer: digest('04') };
const uki = { role: 'uki', layer: digest('05') };

const configOf = (boot: unknown) =>
  parseImageConfig(
    Buffer.from(
      JSON.stringify({
        formatVersion: 1,
        name: 'edge',
        version: '1',
        compatible: ['board-1'],
        partitions: [{ name: 'root', layer: rootLayer }],
        boot,
      }),
    ),
  );
const descriptor = (layer: string, mediaType: string, sizeBytes = 100) => ({
  mediaType,
  digest: layer,
  sizeBytes,
  annotations: {},
  platform: undefined,
});
const manifestOf = (...payloads: Manifest['layers']): Manifest => ({
  mediaType: mediaTypes.ociManifest,
  artifactType: mediaTypes.kaonArtifact,
  config: descriptor(digest('0c'), mediaTypes.kaonConfig),
  layers: [descriptor(rootLayer, mediaTypes.kaonPartition), ...payloads],
  annotations: {},
});
const refusal = (message: RegExp) =>
  expect.objectContaining({ code: 'manifest-invalid', message: expect.stringMatching(message) as string }) as Error;

describe('the boot section of an image config', () => {
  it('is read with its payloads in their order and its options', () => {
    expect(configOf({ payloads: [kernel, microcode, initrd, devicetree], options: 'quiet ro', later: 1 }).boot).toEqual(
      {
        payloads: [
          { role: 'kernel', layerDigest: kernel.layer },
          { role: 'initrd', layerDigest: microcode.layer },
          { role: 'initrd', layerDigest: initrd.layer },
          { role: 'devicetree', layerDigest: devicetree.layer },
        ],
        options: 'quiet ro',
      },
    );
    expect(configOf({ payloads: [uki] }).boot).toMatchObject({ options: undefined });
    expect(configOf(undefined).boot).toBeUndefined();
  });

  it.each<[string, unknown, RegExp]>([
    ['no payload', { payloads: [] }, /boot\.payloads/],
    ['an unknown role', { payloads: [{ ...kernel, role: 'loader' }] }, /want kernel, initrd, uki or devicetree/],
    ['a layer that is no digest', { payloads: [{ ...kernel, layer: 'sha256:x' }] }, /boot\.payloads\.0\.layer/],
    ['two kernels', { payloads: [kernel, { ...initrd, role: 'kernel' }] }, /one kernel at most/],
    ['two device trees', { payloads: [kernel, devicetree, { ...devicetree, layer: digest('06') }] }, /one devicetree/],
    ['a uki beside a kernel', { payloads: [uki, kernel] }, /nothing beside a uki/],
    ['a uki beside an initrd', { payloads: [uki, initrd] }, /nothing beside a uki/],
    ['nothing to start', { payloads: [initrd] }, /want a kernel or a uki/],
    ['a layer twice', { payloads: [kernel, { ...initrd, layer: kernel.layer }] }, /each layer once/],
    [
      'seventeen payloads',
      {
        payloads: [
          kernel,
          ...Array.from({ length: 16 }, (_, n) => ({ role: 'initrd', layer: digest((n + 32).toString(16)) })),
        ],
      },
      /payloads/,
    ],
    ['options that end the line', { payloads: [kernel], options: 'quiet\noptions init=/bin/sh' }, /printable ASCII/],
    ['empty options', { payloads: [kernel], options: '' }, /printable ASCII/],
    ['options that are too long', { payloads: [kernel], options: 'x'.repeat(2049) }, /2048/],
  ])('is refused with %s', (_what, boot, message) => {
    expect(() => configOf(boot)).toThrow(refusal(message));
  });
});

describe('joining payloads with their layers', () => {
  const { boot } = configOf({ payloads: [kernel, initrd], options: 'quiet' });
  const config = configOf({ payloads: [kernel, initrd], options: 'quiet' });

  it('takes the sizes from the manifest, and leaves the partitions as they are', () => {
    const manifest = manifestOf(
      descriptor(initrd.layer, mediaTypes.kaonBoot, 300),
      descriptor(kernel.layer, mediaTypes.kaonBoot, 200),
    );
    expect(boot && bootOf(manifest, boot)).toEqual({
      options: 'quiet',
      payloads: [
        { role: 'kernel', layerDigest: kernel.layer, layerSizeBytes: 200 },
        { role: 'initrd', layerDigest: initrd.layer, layerSizeBytes: 300 },
      ],
    });
    expect(partitionLayers(manifest, config)).toMatchObject([{ name: 'root', layerDigest: rootLayer }]);
  });

  it('refuses a payload without a layer, with an empty one, or with one of another type', () => {
    const sound = descriptor(kernel.layer, mediaTypes.kaonBoot);
    const cases: readonly (readonly [Manifest, RegExp])[] = [
      [manifestOf(sound), /its initrd has no layer/],
      [manifestOf(sound, descriptor(initrd.layer, mediaTypes.kaonBoot, 0)), /empty layer/],
      [manifestOf(sound, descriptor(initrd.layer, mediaTypes.kaonPartition)), /its initrd has a layer of type/],
    ];
    for (const [manifest, message] of cases) expect(() => boot && bootOf(manifest, boot)).toThrow(refusal(message));
  });

  it('leaves no layer that nothing names', () => {
    const manifest = manifestOf(
      descriptor(kernel.layer, mediaTypes.kaonBoot),
      descriptor(initrd.layer, mediaTypes.kaonBoot),
      descriptor(uki.layer, mediaTypes.kaonBoot),
    );
    expect(() => partitionLayers(manifest, config)).toThrow(refusal(/belongs to no partition/));
    const asPartition = manifestOf(descriptor(kernel.layer, mediaTypes.kaonBoot));
    const boots = configOf({ payloads: [{ ...kernel, layer: rootLayer }] });
    expect(() => boots.boot && bootOf(asPartition, boots.boot)).toThrow(refusal(/type/));
  });
});
