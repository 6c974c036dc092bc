import { type ErrorCode, reportOf } from '../core/errors.ts';
import type { JudgedImage } from './judge-image.ts';

/** What says that bytes came which nobody signed, wherever they came from. */
const foreignContent: readonly ErrorCode[] = [
  'digest-mismatch',
  'layer-corrupt',
  'layer-too-large',
  'block-index-invalid',
];

/**
 * Runs `write`, and once more for each time that it failed by content which nobody signed and that the image's source
 * can ask for elsewhere. Rejects as the last `write` did.
 */
export async function withOtherPlaces<T>(
  { source, signed }: Pick<JudgedImage, 'source' | 'signed'>,
  write: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      const isForeign = foreignContent.includes(reportOf(error).code);
      if (!isForeign || source.distrust?.(signed.image) !== true) throw error;
    }
  }
}
