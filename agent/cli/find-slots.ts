/** A partition as udev read the table of its disk. */
export interface PartitionFacts {
  /** `/dev/sda2` */
  readonly device: string;
  /** `8:2` */
  readonly deviceNumber: string;
  /** Device number of the whole disk. */
  readonly disk: string;
  readonly number: number;
  /** In lower case. */
  readonly partUuid: string;
  readonly label: string | undefined;
  readonly typeGuid: string;
  readonly sizeBytes: number;
}

/** A partition in each slot. */
export interface PartitionPair {
  /** What the configuration calls it. */
  readonly name: string;
  readonly a: PartitionFacts;
  readonly b: PartitionFacts;
}

/** The slots that were found. */
export interface FoundSlots {
  readonly pairs: readonly PartitionPair[];
  readonly booted: 'a' | 'b';
  /** By what, in a sentence. */
  readonly reason: string;
  /** Nothing but size and type says that they are slots. */
  readonly isGuess: boolean;
}

/**
 * The slots of a node that has no record of any: pairs of partitions whose labels differ in a final a and b, else the only
 * other partition like the booted one. The booted slot is told by the devices that `/` is on. A string says why there are none.
 */
export function findSlots(
  partitions: readonly PartitionFacts[],
  rootDevices: ReadonlySet<string>,
): FoundSlots | string {
  const booted = partitions.filter(({ deviceNumber }) => rootDevices.has(deviceNumber));
  const [root, ...others] = booted;
  if (root === undefined) return 'the system does not run from a partition that udev knows';
  if (others.length > 0) return `/ lies on several partitions: ${booted.map(({ device }) => device).join(', ')}`;
  const onDisk = partitions.filter(({ disk }) => disk === root.disk);
  return byLabel(onDisk, root) ?? byLikeness(onDisk, root);
}

const slotLabel = /^(.*?)[-_. ]?([ab])$/i;

function byLabel(partitions: readonly PartitionFacts[], root: PartitionFacts): FoundSlots | undefined {
  const groups = new Map<string, { readonly slot: string; readonly partition: PartitionFacts }[]>();
  for (const partition of partitions) {
    const [, base, letter] = slotLabel.exec(partition.label ?? '') ?? [];
    if (base === undefined || base === '' || letter === undefined) continue;
    const found = groups.get(base.toLowerCase()) ?? [];
    groups.set(base.toLowerCase(), [...found, { slot: letter.toLowerCase(), partition }]);
  }
  const pairs = [...groups].flatMap(([base, members]): readonly PartitionPair[] => {
    const [a, b] = ['a', 'b'].map((slot) => members.filter((member) => member.slot === slot));
    const [onlyA, onlyB] = [a?.[0]?.partition, b?.[0]?.partition];
    if (members.length !== 2 || onlyA === undefined || onlyB === undefined) return [];
    return [{ name: nameOf(base, onlyA), a: onlyA, b: onlyB }];
  });
  const own = pairs.find(({ a, b }) => a === root || b === root);
  if (own === undefined) return undefined;
  const others = pairs.filter((pair) => pair !== own && pair.name !== 'root');
  const names = new Set(others.map(({ name }) => name));
  if (names.size !== others.length) return undefined;
  return {
    pairs: [{ ...own, name: 'root' }, ...others],
    booted: own.a === root ? 'a' : 'b',
    reason: `their labels (${own.a.label ?? ''}, ${own.b.label ?? ''}) differ in a and b`,
    isGuess: false,
  };
}

/** What the configuration may call a partition, made of the label that both slots share. */
function nameOf(base: string, { number }: PartitionFacts): string {
  const name = base.replace(/[^a-z0-9._-]+/g, '-').replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '');
  return name === '' ? `partition-${number}` : name;
}

function byLikeness(partitions: readonly PartitionFacts[], root: PartitionFacts): FoundSlots | string {
  const alike = partitions.filter(
    (one) => one !== root && one.typeGuid === root.typeGuid && one.sizeBytes === root.sizeBytes,
  );
  const [twin, ...more] = alike;
  if (twin === undefined) {
    return `no partition beside ${root.device} has a label that ends in a or b, or its type and size`;
  }
  if (more.length > 0) {
    return `several partitions are like ${root.device}: ${alike.map(({ device }) => device).join(', ')}`;
  }
  const [a, b] = root.number < twin.number ? [root, twin] : [twin, root];
  return {
    pairs: [{ name: 'root', a, b }],
    booted: a === root ? 'a' : 'b',
    reason: `${twin.device} alone has the type and the size of ${root.device}`,
    isGuess: true,
  };
}
