/** What a node shows of its loader. Read by `readLoaderFacts`; everything in it is optional evidence. */
export interface LoaderFacts {
  readonly isUefi: boolean;
  /** The EFI variable LoaderInfo, which the loader that started this boot left; `systemd-boot 252.39`. */
  readonly loaderInfo: string | undefined;
  /** The EFI variable LoaderDevicePartUUID: the GUID of the partition that it came from. */
  readonly loaderPartition: string | undefined;
  /** GRUB environment blocks that were found, with the names of their variables. */
  readonly grubEnvironments: readonly { readonly path: string; readonly variables: readonly string[] }[];
  /** Where `loader/loader.conf` or `loader/entries` was found. */
  readonly loaderDirectories: readonly string[];
  /** The text of /etc/fw_env.config. */
  readonly fwEnvConfig: string | undefined;
  /** The autoboot.txt files that were found, and the partitions that they select where they can be read. */
  readonly autobootFiles: readonly {
    readonly path: string;
    readonly partition: number | undefined;
    readonly trybootPartition: number | undefined;
  }[];
  /** Descriptions of the firmware's boot entries. */
  readonly bootEntries: readonly string[];
  /** Partitions of the disks, as udev read their tables. */
  readonly partitions: readonly {
    /** The whole disk, `/dev/sda`. */
    readonly disk: string;
    readonly guid: string;
    readonly typeGuid: string;
  }[];
  /** The model of the device tree. */
  readonly model: string | undefined;
  /** The kernel's command line. */
  readonly commandLine: string;
}

/** A loader that this node may have. */
export interface DetectedLoader {
  readonly type: 'grub' | 'systemd-boot' | 'uboot' | 'gpt' | 'tryboot' | 'efi';
  /** `certain`: it started this boot. `likely`: it is set up for slots. `possible`: it is there. */
  readonly confidence: 'certain' | 'likely' | 'possible';
  /** Why, in words. */
  readonly reasons: readonly string[];
  /** What belongs under `bootloader` in the configuration. */
  readonly settings: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

const order = { certain: 0, likely: 1, possible: 2 } as const;

/** Which loaders a node may have, the surest first, each with the reasons for it. */
export function detectLoaders(facts: LoaderFacts): readonly DetectedLoader[] {
  const found = [
    ...grub(facts),
    ...systemdBoot(facts),
    ...gpt(facts),
    ...tryboot(facts),
    ...uboot(facts),
    ...efi(facts),
  ];
  return found.sort((one, other) => order[one.confidence] - order[other.confidence]);
}

function grub({ grubEnvironments, commandLine }: LoaderFacts): readonly DetectedLoader[] {
  return grubEnvironments.map(({ path, variables }) => {
    const has = (name: string) => variables.includes(name);
    const isBooted = /^BOOT_IMAGE=/m.test(commandLine) || commandLine.includes(' BOOT_IMAGE=');
    const reasons = [`${path} is an environment block of GRUB`];
    if (isBooted) reasons.push('the kernel was told BOOT_IMAGE, as GRUB does');
    const isKaon = has('ORDER') && variables.some((name) => name.endsWith('_LEFT'));
    const isRauc = has('ORDER') && variables.some((name) => name.endsWith('_TRY'));
    if (isKaon) reasons.push('it has the variables of kaon’s grub.cfg');
    if (isRauc) reasons.push('it has the variables of RAUC’s grub.cfg');
    const confidence = isKaon || isRauc ? (isBooted ? 'certain' : 'likely') : 'possible';
    const dialect: Readonly<Record<string, string>> = isRauc && !isKaon ? { dialect: 'rauc' } : {};
    return { type: 'grub', confidence, reasons, settings: { environment: path, ...dialect } };
  });
}

function systemdBoot({ loaderInfo, loaderPartition, loaderDirectories }: LoaderFacts): readonly DetectedLoader[] {
  const isBooted = loaderInfo?.startsWith('systemd-boot') === true;
  const reasons = [
    ...(isBooted ? [`the loader of this boot says that it is ${loaderInfo}`] : []),
    ...loaderDirectories.map((path) => `${path} holds entries of the Boot Loader Specification`),
  ];
  if (reasons.length === 0) return [];
  const [path] = loaderDirectories;
  // The loader's own partition, by the name that it gave itself; else where it is mounted.
  const device = loaderPartition === undefined ? undefined : `/dev/disk/by-partuuid/${loaderPartition.toLowerCase()}`;
  const esp = device !== undefined ? { device } : path !== undefined ? { path } : undefined;
  const settings: DetectedLoader['settings'] = esp === undefined ? {} : { esp };
  return [{ type: 'systemd-boot', confidence: isBooted ? 'certain' : 'possible', reasons, settings }];
}

/** Types of partitions whose attributes a loader reads. */
const prioritizedTypes: Readonly<Record<string, string>> = {
  'fe3a2a5d-4f32-41a7-b725-accc3285a309': 'ChromeOS’s kernels',
  '5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6': 'Flatcar’s USR partitions',
  '6b636168-7420-6568-2070-6c616e657421': 'Bottlerocket’s boot partitions',
};

function gpt({ partitions, commandLine }: LoaderFacts): readonly DetectedLoader[] {
  return Object.entries(prioritizedTypes).flatMap(([type, whose]): readonly DetectedLoader[] => {
    const ours = partitions.filter(({ typeGuid }) => typeGuid === type);
    const [a, b, ...more] = ours;
    if (a === undefined || b === undefined) return [];
    const reasons = [`${a.disk} has ${ours.length} partitions of the type of ${whose}`];
    const booted = ours.find(({ guid }) => commandLine.toLowerCase().includes(guid));
    if (booted !== undefined) reasons.push(`the kernel was told of partition ${booted.guid}`);
    // More than two, or on different disks: which of them are the slots is for people to say.
    const isPair = more.length === 0 && a.disk === b.disk;
    const settings = { disk: a.disk, ...(isPair ? { partitions: { a: a.guid, b: b.guid } } : {}) };
    return [{ type: 'gpt', confidence: booted === undefined ? 'possible' : 'likely', reasons, settings }];
  });
}

function tryboot({ autobootFiles, model }: LoaderFacts): readonly DetectedLoader[] {
  const isPi = model?.startsWith('Raspberry Pi') === true;
  const [file] = autobootFiles;
  if (file === undefined || !isPi) return [];
  const { path, partition, trybootPartition } = file;
  const reasons = [`the machine is a ${model}`, `${path} selects the partition that its firmware boots`];
  // After a commit it has the slots the other way round: that is for people to say.
  const isPair = partition !== undefined && trybootPartition !== undefined && partition < trybootPartition;
  const partitions = isPair ? { partitions: { a: String(partition), b: String(trybootPartition) } } : {};
  return [{ type: 'tryboot', confidence: 'likely', reasons, settings: { file: path, ...partitions } }];
}

function uboot({ fwEnvConfig }: LoaderFacts): readonly DetectedLoader[] {
  if (fwEnvConfig === undefined) return [];
  const lines = fwEnvConfig.split('\n').filter((line) => /^\s*[^#\s]/.test(line));
  if (lines.length === 0) return [];
  const copies =
    lines.length > 1 ? 'two copies, so that a change of it is safe' : 'one copy, which a power cut may tear';
  return [
    {
      type: 'uboot',
      confidence: 'likely',
      reasons: ['/etc/fw_env.config says where U-Boot keeps its environment', `it has ${copies}`],
      settings: { environment: '/etc/fw_env.config' },
    },
  ];
}

function efi({ isUefi, loaderInfo, bootEntries }: LoaderFacts): readonly DetectedLoader[] {
  if (!isUefi || loaderInfo !== undefined) return [];
  const reasons = ['the firmware is UEFI, and no loader named itself: it may have started the kernel'];
  if (bootEntries.length > 0) {
    reasons.push(`its boot entries are ${bootEntries.join(', ')}: two of them belong under bootloader.entries`);
  }
  return [{ type: 'efi', confidence: 'possible', reasons, settings: {} }];
}
