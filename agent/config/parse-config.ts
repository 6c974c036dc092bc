import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { AgentError } from '../core/errors.ts';
import type { KaonConfig } from './config.ts';
import { configSchema } from './config-schema.ts';
import { trustContradictions } from './trust-contradictions.ts';
import { type ConfigMap, isMap, mergeMaps, mergeNodeOverImage } from './merge-config.ts';

/** One configuration file, as read. */
export interface ConfigText {
  readonly path: string;
  readonly text: string;
}

/** The configuration of a node, from what its image says and what the node says. */
export interface ConfigTexts {
  /** The defaults and the trust policy that the image carries. */
  readonly image: ConfigText | undefined;
  /** The main file and then its drop-ins; maps of later ones merge into earlier ones, lists replace. */
  readonly node: readonly ConfigText[];
}

const shownProblems = 3;

/**
 * Parses and checks a whole configuration. Throws `config-invalid`: the message shows the first problems, each with its
 * path, what is there and what to write; `details.problems` has all of them.
 */
export function parseConfig({ image, node }: ConfigTexts): KaonConfig {
  const files = [...(image ? [image.path] : []), ...node.map(({ path }) => path)];
  const parsed = node.map(parseYaml);
  const imageParsed = image ? parseYaml(image) : { map: {}, problems: [] };
  throwProblems(files, [...imageParsed.problems, ...parsed.flatMap(({ problems }) => problems)]);
  const nodeMap = parsed.reduce<ConfigMap>((earlier, { map }) => mergeMaps(earlier, map), {});
  const merged = mergeNodeOverImage(imageParsed.map, nodeMap);
  // Read once a start: code of its own for each of its parts would cost more than it saves.
  const result = configSchema.safeParse(merged.config, { jitless: true });
  const shape = result.success ? [] : result.error.issues.flatMap((issue) => describeIssue(issue, merged.config));
  throwProblems(files, [...merged.problems, ...shape]);
  if (!result.success) throw new AgentError('internal', 'cannot say what is wrong with the configuration');
  const { id, ...rest } = result.data.node;
  const config: KaonConfig = {
    ...result.data,
    node: { id: id === 'from-machine-id' ? undefined : id, ...rest },
  };
  throwProblems(files, contradictions(config));
  return config;
}

function throwProblems(files: readonly string[], problems: readonly string[]): void {
  if (problems.length === 0) return;
  const shown = problems.slice(0, shownProblems).join('; ');
  const more = problems.length > shownProblems ? `; and ${problems.length - shownProblems} more` : '';
  throw new AgentError('config-invalid', `cannot use the configuration (${files.join(', ')}): ${shown}${more}`, {
    details: { problems, files },
  });
}

function parseYaml({ path, text }: ConfigText): { readonly map: ConfigMap; readonly problems: readonly string[] } {
  // Its warnings would be printed; what they are about is no known setting, and is refused as such.
  const document = parseDocument(text, { version: '1.2', schema: 'core', prettyErrors: true, logLevel: 'error' });
  if (document.errors.length > 0) {
    return { map: {}, problems: document.errors.map(({ message }) => `${path}: ${message.split('\n')[0] ?? ''}`) };
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 32 });
    if (isEndless(value))
      return { map: {}, problems: [`${path}: an alias stands inside what it stands for; write it out`] };
  } catch (error) {
    return { map: {}, problems: [`${path}: ${error instanceof Error ? error.message : String(error)}`] };
  }
  if (value === null) return { map: {}, problems: [] };
  return isMap(value) ? { map: value, problems: [] } : { map: {}, problems: [`${path}: want a map of settings`] };
}

/** Whether a value holds itself, as an alias inside its own anchor makes it. */
function isEndless(value: unknown, above: readonly unknown[] = []): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (above.includes(value)) return true;
  return Object.values(value).some((each) => isEndless(each, [...above, value]));
}

function describeIssue(issue: z.core.$ZodIssue, config: ConfigMap): readonly string[] {
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      (key) => `${path === '' ? key : `${path}.${key}`}: this key is not known; remove it, or correct its spelling`,
    );
  }
  if (issue.code === 'invalid_key') {
    return [`${path}: ${issue.issues[0]?.message ?? issue.message}`];
  }
  const value = issue.path.reduce<unknown>(
    (at, key) => (isMap(at) || Array.isArray(at) ? Reflect.get(at, key) : undefined),
    config,
  );
  return [`${path === '' ? 'the configuration' : path}: ${showValue(value)}; ${wantedBy(issue)}`];
}

function wantedBy(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_type' || (issue.expected !== 'object' && issue.expected !== 'array'))
    return issue.message;
  return issue.expected === 'object' ? 'want a map of settings' : 'want a list';
}

function showValue(value: unknown): string {
  if (value === undefined) return 'it is missing';
  const text = JSON.stringify(value);
  return `it is ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`;
}

/** What no single field shows. */
function contradictions(config: KaonConfig): readonly string[] {
  const { a, b } = config.slots;
  const problems: string[] = [];
  if (a.bootName === b.bootName) {
    problems.push(`slots.b.bootName: it is ${JSON.stringify(b.bootName)} as in slot a; want another name`);
  }
  if (a.bootName.length !== b.bootName.length) {
    problems.push(
      `slots.b.bootName: it is ${JSON.stringify(b.bootName)}; want as many letters as ${JSON.stringify(a.bootName)} has, so that one sector carries each change of the environment`,
    );
  }
  for (const [mine, theirs, other] of [
    [a, b, 'b'],
    [b, a, 'a'],
  ] as const) {
    for (const [name, { keep }] of Object.entries(mine.partitions)) {
      const twin = Object.hasOwn(theirs.partitions, name) ? theirs.partitions[name] : undefined;
      if (twin === undefined) {
        problems.push(`slots.${other}.partitions.${name}: it is missing; want the same partitions in both slots`);
      } else if (other === 'b' && twin.keep !== keep) {
        problems.push(`slots.b.partitions.${name}.keep: it is ${twin.keep}; want the same in both slots`);
      }
    }
  }
  const devices = new Map<string, string>();
  for (const [slot, { partitions }] of Object.entries(config.slots)) {
    for (const [name, { device }] of Object.entries(partitions)) {
      const first = devices.get(device);
      const path = `slots.${slot}.partitions.${name}.device`;
      if (first === undefined) devices.set(device, path);
      else problems.push(`${path}: it is ${JSON.stringify(device)} as in ${first}; want a device of its own`);
    }
  }
  return [
    ...problems,
    ...bootOptionContradictions(config),
    ...proofContradictions(config),
    ...trustContradictions(config.trust),
  ];
}

function bootOptionContradictions({ slots: { a, b }, bootloader }: KaonConfig): readonly string[] {
  const [one, other] = [a.bootOptions, b.bootOptions];
  if (one === undefined && other === undefined) return [];
  if (bootloader.type !== 'systemd-boot') {
    return [`slots.a.bootOptions: kaon writes no entries for ${bootloader.type}; remove it from both slots`];
  }
  if (bootloader.entries === 'type2') {
    return ['slots.a.bootOptions: an entry of type 2 has its options inside its image; remove it from both slots'];
  }
  if (one === undefined || other === undefined) {
    return [`slots.${one === undefined ? 'a' : 'b'}.bootOptions: it is missing; want it in both slots or in none`];
  }
  const root = (options: string) => options.split(' ').findLast((word) => word.startsWith('root='));
  if (root(one) !== undefined && root(one) === root(other)) {
    return [`slots.b.bootOptions: it has ${root(one) ?? ''} as in slot a; want the root of each slot`];
  }
  return [];
}

/** Nothing but a trial shows that systemd-boot counts images of Type 2: without one it would never have the proof. */
function proofContradictions({ bootloader, update }: KaonConfig): readonly string[] {
  if (bootloader.type !== 'systemd-boot' || bootloader.entries === 'type1' || update.unprovenLoader !== 'refuse')
    return [];
  return [
    'update.unprovenLoader: it is refuse; want warn with systemd-boot and entries of type 2, which shows only in a trial that it counts',
  ];
}
