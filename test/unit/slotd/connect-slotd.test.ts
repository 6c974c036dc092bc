import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { socketConnector, SpawningConnector } from '../../../agent/slotd/connect-slotd.ts';

let directory: string;
let path: string;
const servers: Server[] = [];
const connectors: SpawningConnector[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kaon-slotd-'));
  path = join(directory, 'slotd.sock');
});

afterEach(async () => {
  for (const connector of connectors.splice(0)) await connector.close();
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

async function listen(): Promise<void> {
  const server = createServer((socket) => socket.end('from the server'));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
}

/** A connector that starts `script` with Node, and the socket's path as its argument. */
function spawning(script: string): SpawningConnector {
  const connector = new SpawningConnector(path, [process.execPath, '-e', script, path]);
  connectors.push(connector);
  return connector;
}

const childScript = `
  const { createServer } = require('node:net');
  const server = createServer((socket) => {
    // Whoever only looks whether somebody listens goes without reading.
    socket.on('error', () => undefined);
    socket.end('from the child ' + process.pid);
  });
  server.listen(process.argv[1]);
`;

describe('connecting to kaon-slotd', () => {
  it('reaches who listens at the socket', async () => {
    await listen();
    expect(await text(await socketConnector(path)())).toBe('from the server');
  });

  it('says that nobody listens', async () => {
    await expect(socketConnector(path)()).rejects.toMatchObject({
      code: 'slotd-unreachable',
      message: expect.stringContaining(path) as string,
    });
  });
});

describe('starting kaon-slotd as a child', () => {
  it('starts it once for all who connect at the same time, and again after it ended', async () => {
    const connector = spawning(childScript);
    const both = await Promise.all(
      [connector.connect(), connector.connect()].map(async (socket) => text(await socket)),
    );
    expect(both[0]).toMatch(/^from the child \d+$/);
    expect(both[1]).toBe(both[0]);
    await connector.close();
    rmSync(path, { force: true });
    const after = await text(await connector.connect());
    expect(after).toMatch(/^from the child \d+$/);
    expect(after).not.toBe(both[0]);
  });

  it('starts none while somebody listens', async () => {
    await listen();
    const connector = new SpawningConnector(path, ['/nonexistent/kaon-slotd']);
    expect(await text(await connector.connect())).toBe('from the server');
    await connector.close();
  });

  it('says that the child ended before it listened', async () => {
    await expect(spawning('process.exit(3)').connect()).rejects.toMatchObject({ code: 'slotd-unreachable' });
  });

  it('says that there is no such program', async () => {
    const connector = new SpawningConnector(path, ['/nonexistent/kaon-slotd']);
    connectors.push(connector);
    await expect(connector.connect()).rejects.toMatchObject({
      code: 'slotd-unreachable',
      message: expect.stringContaining('ENOENT') as string,
    });
  });
});
