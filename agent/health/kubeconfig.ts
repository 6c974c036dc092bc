import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

/** How an API server is reached: one cluster and one user of a kubeconfig. Files are absolute paths. */
export interface KubeAccess {
  readonly server: string;
  readonly isInsecure: boolean;
  /** PEM text, or the file that has it. */
  readonly ca: PemSource | undefined;
  readonly certificate: PemSource | undefined;
  readonly key: PemSource | undefined;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
}

export type PemSource = { readonly text: string } | { readonly file: string };

const text = z
  .string()
  .min(1)
  .max(1024 * 1024)
  .optional();

const cluster = z.looseObject({
  server: z.url({ protocol: /^https?$/ }),
  'insecure-skip-tls-verify': z.boolean().default(false),
  'certificate-authority': text,
  'certificate-authority-data': text,
});

const user = z.looseObject({
  'client-certificate': text,
  'client-certificate-data': text,
  'client-key': text,
  'client-key-data': text,
  token: text,
  tokenFile: text,
  exec: z.unknown().optional(),
  'auth-provider': z.unknown().optional(),
});

const schema = z.looseObject({
  'current-context': z.string().default(''),
  contexts: z.array(
    z.looseObject({ name: z.string(), context: z.looseObject({ cluster: z.string(), user: z.string() }) }),
  ),
  clusters: z.array(z.looseObject({ name: z.string(), cluster })),
  users: z.array(z.looseObject({ name: z.string(), user: user.nullish().transform((value) => value ?? {}) })),
});

/**
 * Reads the current context of the kubeconfig at `path`. Throws an error that says what is missing in it; programs that make
 * credentials (`exec`, `auth-provider`) are refused, as a check starts nothing that the configuration of kaon does not name.
 */
export function parseKubeconfig(path: string, document: string): KubeAccess {
  const refuse = (reason: string) => new Error(`cannot use ${path}: ${reason}`);
  const parsed = schema.safeParse(parseYaml(document, refuse));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw refuse(`${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'it is no kubeconfig'}`);
  }
  const { contexts, clusters, users, 'current-context': current } = parsed.data;
  const context = contexts.find(({ name }) => name === current)?.context;
  if (context === undefined) throw refuse(`its current-context ${JSON.stringify(current)} is not under contexts`);
  const found = clusters.find(({ name }) => name === context.cluster)?.cluster;
  if (found === undefined) throw refuse(`there is no cluster ${JSON.stringify(context.cluster)}`);
  const who = users.find(({ name }) => name === context.user)?.user;
  if (who === undefined) throw refuse(`there is no user ${JSON.stringify(context.user)}`);
  if ('exec' in who || 'auth-provider' in who) {
    throw refuse(
      `user ${JSON.stringify(context.user)} gets its credentials from a program; want a certificate or a token`,
    );
  }
  const pem = (data: unknown, file: unknown): PemSource | undefined => {
    if (typeof data === 'string') return { text: Buffer.from(data, 'base64').toString('utf8') };
    return typeof file === 'string' ? { file: resolve(dirname(path), file) } : undefined;
  };
  const tokenFile = 'tokenFile' in who ? who.tokenFile : undefined;
  return {
    server: found.server.replace(/\/+$/, ''),
    isInsecure: found['insecure-skip-tls-verify'],
    ca: pem(found['certificate-authority-data'], found['certificate-authority']),
    certificate: pem(fieldOf(who, 'client-certificate-data'), fieldOf(who, 'client-certificate')),
    key: pem(fieldOf(who, 'client-key-data'), fieldOf(who, 'client-key')),
    token: typeof fieldOf(who, 'token') === 'string' ? String(fieldOf(who, 'token')) : undefined,
    tokenFile: typeof tokenFile === 'string' ? resolve(dirname(path), tokenFile) : undefined,
  };
}

function fieldOf(map: Readonly<Record<string, unknown>>, key: string): unknown {
  return map[key];
}

function parseYaml(document: string, refuse: (reason: string) => Error): unknown {
  try {
    return parse(document, { maxAliasCount: 32 });
  } catch (cause) {
    throw refuse(cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause));
  }
}
