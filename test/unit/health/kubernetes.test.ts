import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseKubeconfig } from '../../../agent/health/kubeconfig.ts';
import { judgeNode, KubernetesNodeCheck } from '../../../agent/health/kubernetes-node-check.ts';

const endings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

function kubeconfig(user: unknown, cluster: object = {}): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'edge', user: 'kubelet' } }],
    clusters: [{ name: 'edge', cluster: { server: 'https://127.0.0.1:6443/', ...cluster } }],
    users: [{ name: 'kubelet', user }],
  });
}

const read = (document: string) => parseKubeconfig('/etc/kubernetes/kubelet.conf', document);

describe('a kubeconfig', () => {
  it('names files beside it, and has PEM text in base64', () => {
    const cluster = { 'certificate-authority-data': Buffer.from('the CA').toString('base64') };
    expect(read(kubeconfig({ 'client-certificate': 'pki/me.pem', 'client-key': '/var/me.key' }, cluster))).toEqual({
      server: 'https://127.0.0.1:6443',
      isInsecure: false,
      ca: { text: 'the CA' },
      certificate: { file: '/etc/kubernetes/pki/me.pem' },
      key: { file: '/var/me.key' },
      token: undefined,
      tokenFile: undefined,
    });
  });

  it.each([
    ['{', 'cannot use /etc/kubernetes/kubelet.conf: '],
    ['a: 1', 'contexts: '],
    [kubeconfig({ exec: { command: 'aws' } }), 'gets its credentials from a program'],
    [kubeconfig({}).replace('current-context: here', 'current-context: there'), '"there" is not under contexts'],
    [kubeconfig({}, { server: 'ftp://x/' }), 'clusters.0.cluster.server'],
  ])('refuses %j and says what is wrong', (document, words) => {
    expect(() => read(document)).toThrow(words);
  });

  it('may have a user without credentials', () => {
    expect(read(kubeconfig(null)).token).toBeUndefined();
  });
});

function answer(body: unknown, status = 200) {
  return { status, line: `${status}`, body: typeof body === 'string' ? body : JSON.stringify(body), isWhole: true };
}
const ready = (status: string) => ({
  status: {
    conditions: [
      { type: 'MemoryPressure', status: 'False' },
      { type: 'Ready', status, reason: 'KubeletNotReady' },
    ],
  },
});

describe('what the API server says of a node', () => {
  it('passes a node that is Ready', () => {
    expect(judgeNode('gw', answer(ready('True')))).toEqual({ isPassed: true, output: 'node gw is Ready' });
  });

  it.each([
    [answer(ready('False')), 'node gw: Ready is False, KubeletNotReady'],
    [answer(ready('Unknown')), 'Ready is Unknown'],
    [answer({ status: { conditions: [] } }), 'says nothing of its condition Ready'],
    [answer('<html>'), 'is no JSON'],
    [answer('forbidden', 403), 'the API server answers 403: forbidden'],
    [{ ...answer(ready('True')), isWhole: false }, 'more than'],
  ])('fails on %j', (found, words) => {
    const { isPassed, output } = judgeNode('gw', found);
    expect(isPassed).toBe(false);
    expect(output).toContain(words);
  });
});

describe('a kubernetes-node check', () => {
  it('asks for its node with its token', async () => {
    const asked: unknown[] = [];
    const server = createServer((request, response) => {
      asked.push([request.url, request.headers.authorization]);
      response.end(JSON.stringify(ready('True')));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    endings.push(() => new Promise((resolve) => server.close(resolve)));
    const directory = await mkdtemp(join(tmpdir(), 'kaon-kube-'));
    endings.push(() => rm(directory, { recursive: true }));
    const path = join(directory, 'config');
    await writeFile(join(directory, 'token'), 'secret\n');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await writeFile(path, kubeconfig({ tokenFile: 'token' }, { server: url }));
    const attempt = await new KubernetesNodeCheck('k8s', true, path, 'gw-1').run(new AbortController().signal);
    expect(attempt).toEqual({ isPassed: true, output: 'node gw-1 is Ready' });
    expect(asked).toEqual([['/api/v1/nodes/gw-1', 'Bearer secret']]);
  });

  it('fails where the kubeconfig cannot be read', async () => {
    const attempt = await new KubernetesNodeCheck('k8s', true, '/none', 'gw').run(new AbortController().signal);
    expect(attempt).toMatchObject({ isPassed: false, output: expect.stringContaining('cannot read /none') as string });
  });
});
