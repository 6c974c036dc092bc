import { z } from 'zod';
import type { PayloadRole, TrustedBoot } from '../../../partitions/trusted-descriptor.ts';
import { AgentError } from '../errors.ts';
import { isDigest } from './digest.ts';
import { type Manifest, mediaTypes } from './manifest.ts';

/** What the signed config says of the files that a loader starts from its own partition. */
export interface ImageBoot {
  /** Initrds in the order that the loader loads them. */
  readonly payloads: readonly { readonly role: PayloadRole; readonly layerDigest: string }[];
  /** Kernel options of the image; the node's own come behind them. */
  readonly options: string | undefined;
}

/** The roles that one image has at most one payload of. */
const singleRoles: readonly PayloadRole[] = ['kernel', 'uki', 'devicetree'];

/** The schema of the config's `boot`; unknown fields are left for newer readers. */
export const bootSchema = z
  .object({
    payloads: z
      .array(
        z.object({
          role: z.enum(['kernel', 'initrd', 'uki', 'devicetree'], 'want kernel, initrd, uki or devicetree'),
          layer: z.string().refine(isDigest, 'want sha256 or sha512 in lower-case hex'),
        }),
      )
      .min(1)
      .max(16),
    // It becomes one line of a loader's entry: nothing that ends a line or a text may be in it.
    options: z
      .string()
      .regex(/^[\x20-\x7e]{1,2048}$/, 'want 1 to 2048 printable ASCII characters')
      .optional(),
  })
  .superRefine(({ payloads }, context) => {
    const roles = payloads.map(({ role }) => role);
    const refuse = (message: string) => context.addIssue({ code: 'custom', path: ['payloads'], message });
    const twice = singleRoles.find((role) => roles.filter((other) => other === role).length > 1);
    if (twice !== undefined) refuse(`want one ${twice} at most`);
    if (roles.includes('uki') && roles.length > 1) refuse('want nothing beside a uki, which holds all of them');
    if (!roles.includes('uki') && !roles.includes('kernel')) refuse('want a kernel or a uki');
    if (new Set(payloads.map(({ layer }) => layer)).size !== payloads.length) refuse('want each layer once');
  });

/** The config's `boot` as it was parsed. */
export function imageBoot(raw: z.infer<typeof bootSchema>): ImageBoot {
  return {
    payloads: raw.payloads.map(({ role, layer }) => ({ role, layerDigest: layer })),
    options: raw.options,
  };
}

/**
 * Joins manifest and config: each payload has a layer of its type, whose size is what the manifest says. Throws
 * `manifest-invalid`.
 */
export function bootOf(manifest: Manifest, boot: ImageBoot): TrustedBoot {
  return {
    options: boot.options,
    payloads: boot.payloads.map(({ role, layerDigest }) => {
      const layer = manifest.layers.find(({ digest }) => digest === layerDigest);
      if (layer?.mediaType !== mediaTypes.kaonBoot || layer.sizeBytes === 0) {
        const reason =
          layer === undefined
            ? 'has no layer'
            : layer.sizeBytes === 0
              ? 'has an empty layer'
              : `has a layer of type ${layer.mediaType}, want ${mediaTypes.kaonBoot}`;
        throw new AgentError('manifest-invalid', `cannot use the image: its ${role} ${reason}`, {
          details: { role, layer: layerDigest },
        });
      }
      return { role, layerDigest, layerSizeBytes: layer.sizeBytes };
    }),
  };
}
