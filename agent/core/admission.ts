import type { ErrorReport } from './errors.ts';
import type { FactsData } from './facts.ts';
import type { Deployment, NodeBoot, PayloadBudget, TrustedImage } from './ports.ts';
import type { SlotName, UpdateRequest } from './update-state.ts';

/** What this node is, as far as images care. */
export interface NodeIdentity {
  readonly compatible: string;
  readonly agentVersion: string;
}

/** The slot that does not run. */
export function inactiveSlot(booted: SlotName): SlotName {
  return booted === 'a' ? 'b' : 'a';
}

/** Whether `image` is what runs, proven: nothing is to be done then. */
export function isAlreadyRunning(
  image: Pick<TrustedImage, 'manifestDigest'>,
  node: NodeBoot,
  deployments: Readonly<Partial<Record<SlotName, Deployment>>>,
): boolean {
  return deployments[node.booted]?.digest === image.manifestDigest && node.boot.slots[node.booted].state === 'good';
}

/**
 * The preflight: everything that is known to stand against installing `image` on this node now, the gravest first.
 * Empty when nothing does. Each entry's code is in the errors table. `loaderBlocker` is what the update rules have
 * against the loader.
 */
export function preflight(
  image: TrustedImage,
  node: NodeBoot,
  facts: { readonly data: FactsData; readonly isLost: boolean },
  identity: NodeIdentity,
  loaderBlocker?: ErrorReport,
): readonly ErrorReport[] {
  return [
    ...identityBlockers(image, identity),
    ...factsBlockers(image, facts),
    ...slotBlockers(node),
    ...(loaderBlocker === undefined ? [] : [loaderBlocker]),
    ...(node.faults ?? []),
    ...roomBlockers(image, node),
    ...payloadBlockers(image, node.payloads),
  ];
}

function roomBlockers(image: TrustedImage, node: NodeBoot): readonly ErrorReport[] {
  const slot = inactiveSlot(node.booted);
  const unreadable = node.unreadable?.[slot];
  return unreadable === undefined ? sizeBlockers(image, node.partitionSizes[slot]) : [unreadable];
}

/** Why the image is not for this node; empty when it is. */
export function identityBlockers(
  image: Pick<TrustedImage, 'name' | 'version' | 'compatible' | 'minimumAgent'>,
  identity: NodeIdentity,
): ErrorReport[] {
  const blockers: ErrorReport[] = [];
  if (!image.compatible.includes(identity.compatible)) {
    blockers.push({
      code: 'image-incompatible',
      message: `cannot install ${image.name} ${image.version}: it is for ${image.compatible.join(', ')}, this node is ${identity.compatible}`,
    });
  }
  if (image.minimumAgent !== undefined && compareVersions(identity.agentVersion, image.minimumAgent) < 0) {
    blockers.push({
      code: 'agent-too-old',
      message: `cannot install ${image.name} ${image.version}: it needs agent ${image.minimumAgent}, this is ${identity.agentVersion}`,
    });
  }
  return blockers;
}

/** What of `blockers` stands in the way of `update`: an operator may have let it go below the rollback floor. */
export function blockersOf(update: UpdateRequest, blockers: readonly ErrorReport[]): readonly ErrorReport[] {
  return update.downgradeReason === undefined ? blockers : blockers.filter(({ code }) => code !== 'downgrade-refused');
}

function factsBlockers(image: TrustedImage, facts: { data: FactsData; isLost: boolean }): ErrorReport[] {
  if (facts.isLost) {
    return [
      {
        code: 'facts-lost',
        message: 'cannot install images: both copies of the security facts are lost, and nobody confirmed it yet',
      },
    ];
  }
  const bad = facts.data.knownBad.find(({ digest }) => digest === image.manifestDigest);
  if (bad !== undefined) {
    return [
      {
        code: 'known-bad',
        message: `cannot install ${bad.digest}: it rolled back on this node at ${new Date(bad.atMs).toISOString()} (${bad.reason})`,
      },
    ];
  }
  if (image.rollbackIndex < facts.data.rollbackFloor && !image.isDowngradeAllowed) {
    return [
      {
        code: 'downgrade-refused',
        message: `cannot install ${image.name} ${image.version}: its rollbackIndex ${image.rollbackIndex} is below this node's floor ${facts.data.rollbackFloor}`,
      },
    ];
  }
  return [];
}

function slotBlockers(node: NodeBoot): ErrorReport[] {
  const { state } = node.boot.slots[node.booted];
  if (state === 'good') return [];
  return [
    {
      code: 'booted-slot-unproven',
      message: `cannot write slot ${inactiveSlot(node.booted)}: the booted slot ${node.booted} is ${state} at the loader, so it is no fallback`,
    },
  ];
}

/** Why the image's partitions do not go onto the slot's; empty when they do. */
export function sizeBlockers(
  image: Pick<TrustedImage, 'name' | 'version' | 'partitions'>,
  sizes: Readonly<Record<string, number>>,
): ErrorReport[] {
  const blockers: ErrorReport[] = [];
  const names = new Set(image.partitions.map(({ name }) => name));
  const missing = Object.keys(sizes).filter((name) => !names.has(name));
  const extra = [...names].filter((name) => !(name in sizes));
  if (missing.length + extra.length > 0) {
    blockers.push({
      code: 'image-incompatible',
      message:
        `cannot install ${image.name} ${image.version}: its partitions do not match the slot's` +
        `${missing.length > 0 ? `; it lacks ${missing.join(', ')}` : ''}${extra.length > 0 ? `; the slot has no ${extra.join(', ')}` : ''}`,
    });
  }
  for (const { name, contentSizeBytes } of image.partitions) {
    const sizeBytes = sizes[name];
    if (sizeBytes !== undefined && contentSizeBytes !== undefined && contentSizeBytes > sizeBytes) {
      blockers.push({
        code: 'slot-too-small',
        message: `cannot install ${image.name} ${image.version}: partition ${name} needs ${contentSizeBytes} bytes, the slot's has ${sizeBytes}`,
      });
    }
  }
  return blockers;
}

/** Why the loader could not be given what it starts of the image; empty when it can, or needs nothing. */
export function payloadBlockers(
  image: Pick<TrustedImage, 'name' | 'version' | 'boot'>,
  budget: PayloadBudget | ErrorReport | undefined,
): readonly ErrorReport[] {
  if (budget === undefined) return [];
  const verb = `cannot install ${image.name} ${image.version}`;
  if (image.boot === undefined) {
    const message = `${verb}: it has no boot payloads, and the loader of this node reads no slot`;
    return [{ code: 'image-incompatible', message }];
  }
  if ('code' in budget) return [budget];
  const { availableBytes, clusterBytes } = budget;
  const needed = image.boot.payloads
    .map(({ layerSizeBytes }) => Math.ceil(layerSizeBytes / clusterBytes) * clusterBytes)
    .reduce((sum, bytes) => sum + bytes, 0);
  if (needed <= availableBytes) return [];
  const message = `${verb}: its boot payloads need ${needed} bytes, the boot partition has ${availableBytes} for them`;
  return [{ code: 'boot-partition-full', message }];
}

/** Compares `MAJOR.MINOR.PATCH` texts by number: negative, zero or positive. Missing or odd parts count as 0. */
export function compareVersions(one: string, other: string): number {
  const numbers = (text: string) =>
    (text.split(/[-+]/)[0] ?? '').split('.').map((part) => Number.parseInt(part, 10) || 0);
  const [left, right] = [numbers(one), numbers(other)];
  for (let index = 0; index < 3; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
