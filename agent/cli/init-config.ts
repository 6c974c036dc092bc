import type { DetectedLoader } from '../../bootloader/detect.ts';
import { findSlots, type FoundSlots, type PartitionFacts } from './find-slots.ts';
import { formatBytes } from './format-values.ts';

/** What a node shows that nobody set up for kaon. */
export interface InitFacts {
  readonly partitions: readonly PartitionFacts[];
  /** Device numbers of what `/` is on, and what that is built on. */
  readonly rootDevices: ReadonlySet<string>;
  /** Device number of what the state directory will lie on; `undefined` where it can't be told. */
  readonly stateDevice: string | undefined;
  readonly loaders: readonly DetectedLoader[];
  /** What kind of machine this is, by its firmware, with where that is from. */
  readonly machine: { readonly text: string; readonly source: string } | undefined;
  /** Registries that the node has credentials for, with the file that has them. */
  readonly registries: readonly { readonly host: string; readonly authFile: string }[];
  /** Public keys under /etc/kaon/keys. */
  readonly keys: readonly string[];
}

/** A configuration for a node, and what has to be filled in by somebody who knows. */
export interface InitResult {
  readonly text: string;
  readonly unknowns: readonly string[];
  readonly booted: 'a' | 'b' | undefined;
}

const blank = 'FILL-IN';
const stateDir = '/var/lib/kaon';

/** Writes the configuration of a node from what it shows; what it does not show is said, never invented. */
export function initConfig(facts: InitFacts, wanted: { readonly compatible: string | undefined }): InitResult {
  const slots = findSlots(facts.partitions, facts.rootDevices);
  const [loader] = facts.loaders;
  const sections = [
    nodeSection(facts, wanted.compatible),
    stateSection(facts, slots),
    slotsSection(slots, loader),
    loaderSection(facts.loaders),
    trustSection(facts),
    registriesSection(facts),
    healthSection(),
  ];
  const text = `${head}${sections.map(({ lines }) => `${lines.join('\n')}\n`).join('\n')}`;
  const unknowns = sections.flatMap((section) => section.unknowns);
  return { text, unknowns, booted: typeof slots === 'string' ? undefined : slots.booted };
}

const head = `# Written by kaonctl init from what this node shows; each value says where it is from. ${blank} stands where it shows nothing.
# kaond --check-config says whether all of it can be used; the example kaon.yaml of the package has every setting.
formatVersion: 1

`;

interface Section {
  readonly lines: readonly string[];
  readonly unknowns: readonly string[];
}

function nodeSection({ machine }: InitFacts, wanted: string | undefined): Section {
  const found = wanted ?? slug(machine?.text);
  const source =
    wanted === undefined
      ? `The kind of node, by ${machine?.source ?? 'nothing that the machine says'}. Images have to name it.`
      : 'The kind of node, as it was named. Images have to name it.';
  return {
    lines: ['node:', `  # ${source}`, `  compatible: ${quoted(found ?? blank)}`],
    unknowns:
      found === undefined ? ['node.compatible: the machine says nothing of its kind; name it as images do'] : [],
  };
}

function stateSection({ stateDevice, partitions }: InitFacts, slots: FoundSlots | string): Section {
  const inSlots = typeof slots === 'string' ? [] : slots.pairs.flatMap(({ a, b }) => [a, b]);
  const isOnSlot = inSlots.some(({ deviceNumber }) => deviceNumber === stateDevice);
  const device = partitions.find(({ deviceNumber }) => deviceNumber === stateDevice);
  const where = device === undefined ? 'a file system that is no partition' : shown(device);
  return isOnSlot || stateDevice === undefined
    ? {
        lines: [
          `# ${isOnSlot ? `It lies on ${where}, a slot` : 'Where it lies is not known'}: it has to be on a data partition.`,
          `stateDir: ${stateDir}`,
        ],
        unknowns: [`stateDir: mount a data partition that both slots share at ${stateDir}, or name another directory`],
      }
    : { lines: [`# It lies on ${where}, which is no slot.`, `stateDir: ${stateDir}`], unknowns: [] };
}

function slotsSection(slots: FoundSlots | string, loader: DetectedLoader | undefined): Section {
  if (typeof slots === 'string') {
    const slot = (name: string) => [
      `  ${name}:`,
      `    bootName: ${name.toUpperCase()}`,
      `    partitions: { root: { device: /dev/disk/by-partuuid/${blank}-${name} } }`,
    ];
    return { lines: [`# ${oneLine(slots)}.`, 'slots:', ...slot('a'), ...slot('b')], unknowns: [`slots: ${slots}`] };
  }
  const { pairs, booted, reason, isGuess } = slots;
  const slot = (name: 'a' | 'b') => [
    `  ${name}:`,
    ...(name === booted ? ['    # It runs now.'] : []),
    `    bootName: ${name.toUpperCase()}`,
    ...bootOptions(pairs[0]?.[name], loader),
    '    partitions:',
    ...pairs.flatMap((pair) => [
      `      # ${shown(pair[name])}`,
      `      ${pair.name}: { device: /dev/disk/by-partuuid/${pair[name].partUuid}${pair === pairs[0] ? '' : ', keep: true'} }`,
    ]),
  ];
  return {
    lines: [`# Found because ${oneLine(reason)}.`, 'slots:', ...slot('a'), ...slot('b')],
    unknowns: [
      ...(isGuess ? [`slots: see that they are the slots; ${reason}, and nothing else says so`] : []),
      ...pairs.slice(1).map(({ name }) => `slots: ${name} is kept as it is; remove keep where images bring it`),
    ],
  };
}

/** What systemd-boot tells the kernel of an entry that kaon writes. */
function bootOptions(root: PartitionFacts | undefined, loader: DetectedLoader | undefined): readonly string[] {
  return loader?.type === 'systemd-boot' && root !== undefined
    ? [`    bootOptions: root=PARTUUID=${root.partUuid} ro`]
    : [];
}

function loaderSection(loaders: readonly DetectedLoader[]): Section {
  const [loader, ...others] = loaders;
  if (loader === undefined) {
    return {
      lines: ['# No loader that kaon can drive was found.', 'bootloader:', `  type: ${blank}`],
      unknowns: ['bootloader: no loader that kaon can drive was found; see bootloader/docs'],
    };
  }
  const { type, confidence, reasons, settings } = loader;
  const missing = (needed[type] ?? []).filter((key) => !(key in settings));
  return {
    lines: [
      ...reasons.map((reason) => `# ${oneLine(reason)}.`),
      'bootloader:',
      `  type: ${type}`,
      ...Object.entries(settings).map(([key, value]) => `  ${key}: ${flow(value)}`),
      ...missing.map((key) => `  ${key}: ${blank}`),
    ],
    unknowns: [
      ...missing.map((key) => `bootloader.${key}: see the page of ${type} in bootloader/docs`),
      ...(confidence === 'certain' ? [] : [`bootloader: ${type} is ${confidence}; see that it starts this node`]),
      ...(others.length === 0 || confidence === 'certain'
        ? []
        : [`bootloader: there is ${others.map((other) => other.type).join(', ')}, too`]),
    ],
  };
}

/** What each loader cannot do without. */
const needed: Readonly<Record<string, readonly string[]>> = {
  grub: ['environment'],
  'systemd-boot': ['esp'],
  uboot: ['environment'],
  gpt: ['disk', 'partitions'],
  tryboot: ['partitions'],
  efi: ['entries'],
};

function trustSection({ keys, registries }: InitFacts): Section {
  const ids = keys.map(
    (file) =>
      [
        slug(
          file
            .split('/')
            .at(-1)
            ?.replace(/\.(pub|pem)$/, ''),
        ) ?? 'key',
        file,
      ] as const,
  );
  const prefix = registries[0]?.host ?? `${blank.toLowerCase()}.example`;
  return {
    lines: [
      '# Who may sign what: the longest matching prefix decides, and a repository that no rule matches is refused.',
      'trust:',
      '  keys:',
      ...(ids.length === 0 ? [`    release-1: { file: /etc/kaon/keys/${blank}.pub }`] : []),
      ...ids.map(([id, file]) => `    ${id}: { file: ${quoted(file)} }`),
      '  rules:',
      `    - { prefix: ${quoted(prefix)}, require: { keys: [${ids.length === 0 ? 'release-1' : ids.map(([id]) => id).join(', ')}] } }`,
    ],
    unknowns: [
      ...(ids.length === 0
        ? ['trust.keys: there is no key under /etc/kaon/keys; put release keys there (kaonctl keygen)']
        : []),
      ...(registries.length === 0
        ? ['trust.rules: no registry is known here; write the prefix of the images of this node']
        : ['trust.rules: see that the prefix names the images of this node and no others']),
    ],
  };
}

function registriesSection({ registries }: InitFacts): Section {
  if (registries.length === 0) return { lines: ['registries: {}'], unknowns: [] };
  return {
    lines: [
      '# The node has credentials for these.',
      'registries:',
      ...registries.map(({ host, authFile }) => `  ${quoted(host)}: { authFile: ${quoted(authFile)} }`),
    ],
    unknowns: [],
  };
}

function healthSection(): Section {
  return {
    lines: [
      '# What makes an image good for this node. Without a required check a trial proves only that the agent came up.',
      'health:',
      '  checks: []',
      "  # - { name: web, kind: http, url: 'http://127.0.0.1:8080/ready' }",
      '  # - { name: units, kind: systemd-state }',
    ],
    unknowns: ['health.checks: write checks of what this node is for'],
  };
}

function shown({ device, label, sizeBytes }: PartitionFacts): string {
  return `${device}${label === undefined ? '' : `, ${JSON.stringify(label)}`}, ${formatBytes(sizeBytes)}`;
}

function flow(value: string | Readonly<Record<string, string>>): string {
  if (typeof value === 'string') return quoted(value);
  const fields = Object.entries(value).map(([key, field]) => `${key}: ${/^\d+$/.test(field) ? field : quoted(field)}`);
  return `{ ${fields.join(', ')} }`;
}

/** YAML reads JSON's strings; plain ones stay plain. */
function quoted(value: string): string {
  const isPlain = /^[a-zA-Z/][a-zA-Z0-9./_-]*$/.test(value) && !/^(true|false|null|yes|no|on|off)$/i.test(value);
  return isPlain ? value : JSON.stringify(value);
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
}

/** Letters, digits and dashes of `value`; `undefined` where there are none. */
function slug(value: string | undefined): string | undefined {
  const text = (value ?? '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63);
  return text === '' ? undefined : text;
}
