import type { BootRecord, NodeBoot } from './ports.ts';

/**
 * Whether the loader counted the boot that runs: `false` is a loader that can't write back, under which no trial would
 * ever fall back. `undefined` when it can't be told: the environment was just made anew, the agent came onto a running
 * node, or the loader counts trials alone and this is none.
 */
export function hasLoaderCounted(
  node: NodeBoot,
  bootId: string,
  boots: readonly BootRecord[],
  wasLoaderRepaired: boolean,
): boolean | undefined {
  const known = boots.find((boot) => boot.bootId === bootId);
  // A restart in the same boot: the markers were renewed since.
  if (known !== undefined) return known.hasLoaderCounted;
  if (wasLoaderRepaired) return undefined;
  const { state, triesLeft } = node.boot.slots[node.booted];
  switch (state) {
    case 'trial':
      return triesLeft < node.boot.trialTries;
    case 'unrenewed':
      return true;
    case 'good':
      return node.countsProven === true && boots.length > 0 ? false : undefined;
    case 'bad':
      return undefined;
  }
}
