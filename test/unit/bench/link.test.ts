import { randomFillSync } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Link } from '../../bench/link.ts';

const body = randomFillSync(Buffer.alloc(300_000));
let registry: Server;
let link: Link;

beforeEach(async () => {
  registry = createServer((_request, response) => response.end(body));
  await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
  link = await Link.open(`127.0.0.1:${(registry.address() as AddressInfo).port}`);
});

afterEach(() => {
  link.close();
  registry.close();
  registry.closeAllConnections();
});

async function get(): Promise<Buffer> {
  const answer = await fetch(`http://${link.host}/`, { headers: { connection: 'close' } });
  return Buffer.from(await answer.arrayBuffer());
}

it('passes on what the registry says, and counts it with its head', async () => {
  expect((await get()).equals(body)).toBe(true);
  expect(link.toNodeBytes).toBeGreaterThan(body.byteLength);
  expect(link.toNodeBytes).toBeLessThan(body.byteLength + 1000);
  expect(link.connections).toBe(1);
});

it('counts from nothing after a reset', async () => {
  await get();
  link.reset();
  expect([link.toNodeBytes, link.connections]).toEqual([0, 0]);
});

it('cuts each connection off once so much went over it, and counts only what went', async () => {
  link.reset({ cutAfterBytes: 100_000 });
  await expect(get()).rejects.toThrow();
  await expect(get()).rejects.toThrow();
  expect(link.connections).toBe(2);
  expect(link.toNodeBytes).toBeLessThanOrEqual(200_000);
});

it('bytes come whole and in order over a slow link with latency', async () => {
  link.reset({ roundTripMs: 20, bytesPerSecond: 10_000_000 });
  expect((await get()).equals(body)).toBe(true);
});
