import { inactiveSlot } from '../core/admission.ts';
import type { PlanView } from '../core/control.ts';
import { loaderWarning } from '../core/loader-proof.ts';
import type { WriteEstimate } from './estimate-write.ts';
import type { JudgedImage } from './judge-image.ts';

/** What installing `judged` would mean. */
export function planOf(
  image: string,
  judged: JudgedImage,
  hasLoaderCounted: boolean | undefined,
  estimate: WriteEstimate = { ways: [] },
): PlanView {
  const { trusted, node, blockers } = judged;
  const slot = inactiveSlot(node.booted);
  const sizes = node.partitionSizes[slot];
  const contentSizes = trusted.partitions.map(({ contentSizeBytes }) => contentSizeBytes);
  return {
    image,
    digest: trusted.manifestDigest,
    name: trusted.name,
    version: trusted.version,
    isAlreadyRunning: judged.isAlreadyRunning,
    slot,
    trust: {
      rule: trusted.rule,
      keyIds: trusted.keyIds,
      ...(trusted.provenance === undefined ? {} : { provenance: trusted.provenance }),
    },
    downloadBytes: fetchedLayers(judged).reduce((sum, { layerSizeBytes }) => sum + layerSizeBytes, 0),
    writeBytes: contentSizes.reduce<number | undefined>(
      (sum, size) => (sum === undefined || size === undefined ? undefined : sum + size),
      0,
    ),
    partitions: trusted.partitions.map(({ name, layerSizeBytes, contentSizeBytes }) => ({
      name,
      layerSizeBytes,
      contentSizeBytes,
      partitionSizeBytes: sizes[name] ?? 0,
      ...waysOf(name, estimate),
    })),
    blockers: judged.isAlreadyRunning ? [] : blockers,
    warnings: [...warningsOf(judged, hasLoaderCounted), ...(estimate.warning === undefined ? [] : [estimate.warning])],
  };
}

function waysOf(partition: string, { ways }: WriteEstimate): Pick<PlanView['partitions'][number], 'ways'> {
  const found = ways.find(({ name }) => name === partition);
  if (found === undefined) return {};
  const { name: _name, ...rest } = found;
  return { ways: rest };
}

/** The layers that an update to `judged` fetches from; boot payloads only for a loader that needs them. */
export function fetchedLayers({
  trusted,
  node,
}: JudgedImage): readonly { readonly layerDigest: string; readonly layerSizeBytes: number }[] {
  return node.payloads === undefined ? trusted.partitions : [...trusted.partitions, ...(trusted.boot?.payloads ?? [])];
}

function warningsOf(
  { node, isAlreadyRunning, trusted, loaderProof }: JudgedImage,
  hasLoaderCounted: boolean | undefined,
): readonly string[] {
  if (isAlreadyRunning) return [];
  const slot = inactiveSlot(node.booted);
  const warnings: string[] = [];
  if (node.boot.slots[slot].state === 'good') {
    warnings.push(
      `slot ${slot} holds a bootable image now; from the first write until the commit there is no fallback but slot ${node.booted}`,
    );
  }
  if (hasLoaderCounted === false) {
    warnings.push(
      'the loader did not count this boot: it cannot write back, so a trial that fails would never fall back',
    );
  }
  const doubt = loaderWarning(loaderProof, node.isLoaderTestable !== false);
  if (hasLoaderCounted !== false && doubt !== undefined) warnings.push(doubt);
  if (node.maxTries === 1) {
    warnings.push('the loader grants a trial one try: a single power cut in the trial rolls back');
  }
  if (trusted.partitions.some(({ contentSizeBytes }) => contentSizeBytes === undefined)) {
    warnings.push('the image does not state the size of its content: too much of it is noticed only while writing');
  }
  return warnings;
}
