import { hostname } from 'node:os';
import { z } from 'zod';
import { type CheckAttempt, type HealthCheck, outputLimit } from './health-check.ts';
import { type HttpAnswer, httpGet } from './http-get.ts';
import { type KubeAccess, parseKubeconfig, type PemSource } from './kubeconfig.ts';
import { readBounded, type TlsOptions } from './tls-files.ts';

/** A node lists its images in its status: large clusters' nodes have some 100 KiB. */
const bodyLimitBytes = 4 * 1024 * 1024;

const nodeSchema = z.looseObject({
  spec: z.looseObject({ unschedulable: z.boolean().optional() }).optional(),
  status: z.looseObject({
    conditions: z.array(
      z.looseObject({
        type: z.string(),
        status: z.string(),
        reason: z.string().optional(),
        message: z.string().optional(),
      }),
    ),
  }),
});

/** Passes when the API server says that this node is Ready. */
export class KubernetesNodeCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #kubeconfig: string;
  readonly #node: string;

  /** `node`: its name in the cluster; `undefined`: the host's name in lower case, as kubelet takes it. */
  constructor(name: string, isRequired: boolean, kubeconfig: string, node: string | undefined) {
    this.name = name;
    this.isRequired = isRequired;
    this.#kubeconfig = kubeconfig;
    this.#node = node ?? hostname().toLowerCase();
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    try {
      const access = parseKubeconfig(this.#kubeconfig, await readBounded(this.#kubeconfig));
      const url = `${access.server}/api/v1/nodes/${encodeURIComponent(this.#node)}`;
      const tls = access.server.startsWith('https:') ? { tls: await tlsOf(access) } : {};
      const headers = { accept: 'application/json', ...(await authorizationOf(access)) };
      return judgeNode(this.#node, await httpGet(url, bodyLimitBytes, signal, { ...tls, headers }));
    } catch (error) {
      return { isPassed: false, output: error instanceof Error ? error.message : String(error) };
    }
  }
}

/** What an answer to `GET /api/v1/nodes/<node>` (Kubernetes API, core/v1) says of its condition Ready. */
export function judgeNode(node: string, answer: HttpAnswer): CheckAttempt {
  const fail = (reason: string) => ({ isPassed: false, output: `node ${node}: ${reason}`.slice(0, outputLimit) });
  if (answer.status !== 200) return fail(`the API server answers ${answer.line}: ${answer.body.slice(0, 500)}`);
  if (!answer.isWhole) return fail(`the answer has more than ${bodyLimitBytes} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(answer.body);
  } catch {
    return fail('the answer of the API server is no JSON');
  }
  const ready = nodeSchema.safeParse(value).data?.status.conditions.find(({ type }) => type === 'Ready');
  if (ready === undefined) return fail('the API server says nothing of its condition Ready');
  if (ready.status === 'True') return { isPassed: true, output: `node ${node} is Ready` };
  return fail(`Ready is ${ready.status}, ${ready.reason ?? 'no reason'}: ${ready.message ?? ''}`);
}

async function authorizationOf({ token, tokenFile }: KubeAccess): Promise<Readonly<Record<string, string>>> {
  const found = token ?? (tokenFile === undefined ? undefined : (await readBounded(tokenFile)).trim());
  return found === undefined ? {} : { authorization: `Bearer ${found}` };
}

async function tlsOf({ isInsecure, ca, certificate, key }: KubeAccess): Promise<TlsOptions> {
  return {
    rejectUnauthorized: !isInsecure,
    ...(ca === undefined ? {} : { ca: await pemOf(ca) }),
    ...(certificate === undefined ? {} : { cert: await pemOf(certificate) }),
    ...(key === undefined ? {} : { key: await pemOf(key) }),
  };
}

async function pemOf(source: PemSource): Promise<string> {
  return 'text' in source ? source.text : readBounded(source.file);
}
