import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpCheck, type HttpSettings } from '../../../agent/health/http-check.ts';

const never = new AbortController().signal;
let directory = '';
let server: Server;
let url = '';
const file = (name: string) => join(directory, name);

async function makeCertificate(name: string): Promise<void> {
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', file(`${name}.key`), '-out', file(`${name}.pem`)];
  await promisify(execFile)('openssl', [...request, ...subject, ...files]);
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kaon-https-'));
  await Promise.all(['server', 'client'].map(makeCertificate));
  const options = {
    key: await readFile(file('server.key')),
    cert: await readFile(file('server.pem')),
    ca: await readFile(file('client.pem')),
    requestCert: true,
    rejectUnauthorized: false,
  };
  server = createServer(options, (request, response) => {
    const isKnown = 'authorized' in request.socket && request.socket.authorized === true;
    response.writeHead(isKnown ? 200 : 403).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});

afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

async function run(settings: Partial<HttpSettings>) {
  return new HttpCheck('web', true, { url, status: 200, ...settings }).run(never);
}

describe('a check over TLS', () => {
  it('trusts no certificate that the public roots do not know', async () => {
    expect(await run({})).toMatchObject({ isPassed: false, output: expect.stringContaining('self-signed') as string });
  });

  it('trusts the CA that it is told, and shows its own certificate', async () => {
    expect(await run({ caFile: file('server.pem') })).toMatchObject({ output: '403 Forbidden, want 200' });
    const own = { clientCertificateFile: file('client.pem'), clientKeyFile: file('client.key') };
    expect(await run({ caFile: file('server.pem'), ...own })).toEqual({ isPassed: true, output: '200 OK' });
  });

  it('trusts no other CA than the one that it is told', async () => {
    expect((await run({ caFile: file('client.pem') })).isPassed).toBe(false);
  });

  it('takes any certificate only where it is told so', async () => {
    expect(await run({ isInsecure: true, status: 403 })).toEqual({ isPassed: true, output: '403 Forbidden' });
  });

  it('names a file that it cannot read, or that is too large', async () => {
    expect((await run({ caFile: file('none.pem') })).output).toContain(`cannot read ${file('none.pem')}`);
    await writeFile(file('large.pem'), '');
    await truncate(file('large.pem'), 1024 * 1024 + 1);
    expect((await run({ caFile: file('large.pem') })).output).toContain('the limit is 1048576');
  });
});
