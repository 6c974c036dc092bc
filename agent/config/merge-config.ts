/** A parsed YAML map. */
export type ConfigMap = Readonly<Record<string, unknown>>;

/** Whether `value` is a map. */
export function isMap(value: unknown): value is ConfigMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `later` over `earlier`: maps merge, everything else, lists too, is replaced. */
export function mergeMaps(earlier: ConfigMap, later: ConfigMap): ConfigMap {
  const keys = new Set([...Object.keys(earlier), ...Object.keys(later)]);
  return Object.fromEntries(
    [...keys].map((key) => {
      if (!Object.hasOwn(later, key)) return [key, earlier[key]];
      const before = Object.hasOwn(earlier, key) ? earlier[key] : undefined;
      const after = later[key];
      return [key, isMap(before) && isMap(after) ? mergeMaps(before, after) : after];
    }),
  );
}

/** What the node's configuration may not do to the image's, each in a sentence. */
export interface MergedConfig {
  readonly config: ConfigMap;
  readonly problems: readonly string[];
}

/**
 * The node's configuration over the image's. The image's trust keys and rules stand: the node can add keys and add rules
 * for repositories that no rule of the image covers, unless the image's `trust.nodeMayReplace` is true.
 */
export function mergeNodeOverImage(image: ConfigMap, node: ConfigMap): MergedConfig {
  const { nodeMayReplace, ...imageTrust } = mapAt(image, 'trust');
  const nodeTrust = mapAt(node, 'trust');
  const merged = mergeMaps({ ...image, ...(isMap(image['trust']) ? { trust: imageTrust } : {}) }, node);
  if (!isMap(image['trust']) || !isMap(node['trust']) || nodeMayReplace === true) {
    return { config: merged, problems: [] };
  }
  const imageRules = listAt(imageTrust, 'rules');
  const takenOver = (kind: 'keys' | 'identities', one: string) =>
    Object.keys(mapAt(nodeTrust, kind))
      .filter((id) => Object.hasOwn(mapAt(imageTrust, kind), id))
      .map(
        (id) =>
          `trust.${kind}.${id}: the image has ${one} of this id; want another id, as the image does not let the node replace its ${kind}`,
      );
  const nodeRules = listAt(nodeTrust, 'rules');
  const problems = [
    ...takenOver('keys', 'a key'),
    ...takenOver('identities', 'an identity'),
    ...(Object.hasOwn(imageTrust, 'trustedRoot') && Object.hasOwn(nodeTrust, 'trustedRoot')
      ? ['trust.trustedRoot: the image has one; remove it, as the image does not let the node replace it']
      : []),
    ...(Object.hasOwn(imageTrust, 'repositories') && Object.hasOwn(nodeTrust, 'repositories')
      ? ['trust.repositories: the image has a list; remove it, as the image does not let the node replace it']
      : []),
    ...nodeRules.flatMap((rule) => coverProblem(rule, imageRules)),
  ];
  const rules = [...imageRules, ...nodeRules];
  // A node may take trust away: what the image revokes stays revoked, and the node adds to it.
  const revoked = [...listAt(imageTrust, 'revoked'), ...listAt(nodeTrust, 'revoked')];
  return { config: { ...merged, trust: { ...mapAt(merged, 'trust'), rules, revoked } }, problems };
}

function coverProblem(rule: unknown, imageRules: readonly unknown[]): readonly string[] {
  const prefix = prefixOf(rule);
  // The longest prefix wins, so a longer rule of the node would stand in the place of the image's.
  const covering = imageRules.map(prefixOf).find((image) => prefix === image || prefix.startsWith(`${image}/`));
  return prefix === '' || covering === undefined
    ? []
    : [
        `trust.rules: ${JSON.stringify(prefix)} lies under the image's rule ${JSON.stringify(covering)}; want a repository that the image has no rule for`,
      ];
}

function prefixOf(rule: unknown): string {
  const prefix = isMap(rule) ? rule['prefix'] : undefined;
  return typeof prefix === 'string' ? prefix : '';
}

function mapAt(map: ConfigMap, key: string): ConfigMap {
  const value = map[key];
  return isMap(value) ? value : {};
}

function listAt(map: ConfigMap, key: string): readonly unknown[] {
  const value = map[key];
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}
