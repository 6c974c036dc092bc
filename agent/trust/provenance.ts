import { z } from 'zod';
import type { Provenance } from '../core/ports.ts';
import type { Statement } from './statement.ts';

/** The predicate type of provenance that is taken. */
export const provenancePredicateType = 'https://slsa.dev/provenance/v1';

/** What provenance must say, each text exactly. */
export interface ProvenanceExpectation {
  readonly builderId: string;
  readonly buildType: string;
  readonly sourceRepository: string;
  /** `undefined`: any. */
  readonly sourceRef: string | undefined;
  /** What else the external parameters must be, by their path (`workflow.path`); all others are refused. */
  readonly parameters: Readonly<Record<string, string>>;
}

// SLSA Provenance v1, the fields that a verifier looks at; the others are for people.
const predicateSchema = z.object({
  buildDefinition: z.object({
    buildType: z.string(),
    externalParameters: z.record(z.string(), z.unknown()),
    resolvedDependencies: z
      .array(z.object({ uri: z.string().optional(), digest: z.record(z.string(), z.string()).optional() }))
      .max(1024)
      .optional(),
  }),
  runDetails: z.object({ builder: z.object({ id: z.string() }) }),
});

type BuildDefinition = z.infer<typeof predicateSchema>['buildDefinition'];

const shownLimit = 200;
const maxLeaves = 256;
const maxDepth = 8;

function shown(text: string | undefined): string {
  return text === undefined ? 'not stated' : JSON.stringify(text.slice(0, shownLimit));
}

/**
 * Holds a statement against what is expected of it (SLSA v1, "Verifying artifacts", steps 2 and 3). Who signed it and for
 * which image is judged before. `undefined` for a statement that is no provenance of this version.
 */
export function checkProvenance(
  { predicateType, predicate }: Statement,
  expected: ProvenanceExpectation,
): { readonly provenance: Omit<Provenance, 'signerId'> } | { readonly problem: string } | undefined {
  if (predicateType !== provenancePredicateType) return undefined;
  const parsed = predicateSchema.safeParse(predicate);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return { problem: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}` };
  }
  const { buildDefinition, runDetails } = parsed.data;
  const leaves = leavesOf(buildDefinition.externalParameters);
  if (leaves === undefined) return { problem: 'its externalParameters are too many or too deep' };
  const source = sourceOf(buildDefinition, leaves);
  const mismatch = [
    ['builder.id', runDetails.builder.id, expected.builderId],
    ['buildType', buildDefinition.buildType, expected.buildType],
    ['source repository', source.repository, expected.sourceRepository],
    ['source ref', source.ref, expected.sourceRef ?? source.ref],
  ].find(([, found, wanted]) => found !== wanted);
  if (mismatch !== undefined)
    return { problem: `its ${mismatch[0] ?? ''} is ${shown(mismatch[1])}, want ${shown(mismatch[2])}` };
  const problem = parameterProblem(leaves, source.paths, expected.parameters);
  if (problem !== undefined) return { problem };
  return {
    provenance: {
      builderId: runDetails.builder.id,
      buildType: buildDefinition.buildType,
      sourceRepository: expected.sourceRepository,
      sourceRef: source.ref,
      sourceCommit: commitOf(buildDefinition, expected.sourceRepository),
    },
  };
}

/** The scalars of `value` by their path; what is null or empty says nothing. `undefined` where there are too many. */
function leavesOf(value: Readonly<Record<string, unknown>>): ReadonlyMap<string, string> | undefined {
  const leaves = new Map<string, string>();
  const walk = (one: unknown, path: string, depth: number): boolean => {
    if (one === null || one === undefined) return true;
    if (typeof one !== 'object') {
      leaves.set(path, typeof one === 'string' ? one : JSON.stringify(one));
      return leaves.size <= maxLeaves;
    }
    if (depth === maxDepth) return false;
    return Object.entries(one).every(([name, inner]) => {
      // A name with a dot in it must not pass for a path.
      const step = name.includes('.') ? JSON.stringify(name) : name;
      return walk(inner, path === '' ? step : `${path}.${step}`, depth + 1);
    });
  };
  return walk(value, '', 0) ? leaves : undefined;
}

interface FoundSource {
  readonly repository: string | undefined;
  readonly ref: string | undefined;
  /** The external parameters that say it. */
  readonly paths: readonly string[];
}

/** Where the source is stated: as GitHub's workflows do, as a URI with its ref, or as the one dependency from git. */
function sourceOf({ resolvedDependencies = [] }: BuildDefinition, leaves: ReadonlyMap<string, string>): FoundSource {
  for (const [repository, ref] of [
    ['workflow.repository', 'workflow.ref'],
    ['repository', 'ref'],
  ] as const) {
    if (leaves.has(repository)) {
      return { repository: leaves.get(repository), ref: leaves.get(ref), paths: [repository, ref] };
    }
  }
  for (const path of ['source', 'source.uri']) {
    const uri = leaves.get(path);
    if (uri !== undefined) return { ...splitUri(uri), paths: [path, 'source.digest.gitCommit', 'source.digest.sha1'] };
  }
  const [one, ...more] = resolvedDependencies.filter(({ uri }) => uri?.startsWith('git+') === true);
  return one?.uri === undefined || more.length > 0
    ? { repository: undefined, ref: undefined, paths: [] }
    : { ...splitUri(one.uri), paths: [] };
}

/** Repository and ref of `git+https://host/path@ref` (SPDX download location). */
function splitUri(uri: string): { readonly repository: string; readonly ref: string | undefined } {
  const plain = uri.replace(/^git\+/, '');
  const at = plain.lastIndexOf('@');
  // An @ before the last / is part of the host.
  return at <= plain.indexOf('://') + 3 || at < plain.indexOf('/', plain.indexOf('://') + 3)
    ? { repository: plain, ref: undefined }
    : { repository: plain.slice(0, at), ref: plain.slice(at + 1) };
}

function parameterProblem(
  leaves: ReadonlyMap<string, string>,
  sourcePaths: readonly string[],
  expected: Readonly<Record<string, string>>,
): string | undefined {
  for (const [path, value] of leaves) {
    if (Object.hasOwn(expected, path) ? expected[path] === value : sourcePaths.includes(path)) continue;
    return Object.hasOwn(expected, path)
      ? `its parameter ${shown(path)} is ${shown(value)}, want ${shown(expected[path])}`
      : `its parameter ${shown(path)} (${shown(value)}) is not among those that the rule names`;
  }
  const missing = Object.keys(expected).find((path) => !leaves.has(path));
  return missing === undefined
    ? undefined
    : `its parameter ${shown(missing)} is missing, want ${shown(expected[missing])}`;
}

function commitOf({ resolvedDependencies = [] }: BuildDefinition, repository: string): string | undefined {
  const found = resolvedDependencies.find(
    ({ uri }) => uri !== undefined && splitUri(uri).repository === repository && uri.startsWith('git+'),
  );
  const commit = found?.digest?.['gitCommit'] ?? found?.digest?.['sha1'];
  return commit !== undefined && /^[0-9a-f]{40,64}$/.test(commit) ? commit : undefined;
}
