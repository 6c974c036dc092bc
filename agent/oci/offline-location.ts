import { AgentError } from '../core/errors.ts';

/** Where an offline image lies. */
export interface OfflineLocation {
  readonly kind: 'layout' | 'archive';
  readonly path: string;
  /** The entry's name; `undefined` to go by the reference. */
  readonly refName: string | undefined;
}

/**
 * Parses `oci:DIR[:NAME]` or `oci-archive:FILE[:NAME]`, as skopeo spells them: the path ends at the first colon. Throws
 * `usage-invalid`.
 */
export function parseOfflineLocation(text: string): OfflineLocation {
  const found = /^(oci|oci-archive):([^:\0]+)(?::([^\0]+))?$/.exec(text);
  const [, transport, path, refName] = found ?? [];
  if (path === undefined || text.length > 4096) {
    throw new AgentError(
      'usage-invalid',
      `cannot use ${JSON.stringify(text.slice(0, 200))} as a source: want oci:DIR[:NAME] or oci-archive:FILE[:NAME]`,
      { details: { field: 'from', value: text.slice(0, 200) } },
    );
  }
  return { kind: transport === 'oci' ? 'layout' : 'archive', path, refName };
}
