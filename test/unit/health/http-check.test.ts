import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { HttpCheck, type HttpSettings } from '../../../agent/health/http-check.ts';

const never = new AbortController().signal;

describe('an http check', () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  async function serve(status: number, body: string, headers: Record<string, string> = {}): Promise<string> {
    server = createServer((_request, response) => response.writeHead(status, headers).end(body));
    await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/ready`;
  }

  function checkOf(url: string, status: number, more: Partial<HttpSettings> = {}): HttpCheck {
    return new HttpCheck('web', true, { url, status, ...more });
  }

  it('passes on the wanted status', async () => {
    expect(await checkOf(await serve(200, 'hello'), 200).run(never)).toEqual({
      isPassed: true,
      output: '200 OK',
    });
    server!.close();
    expect((await checkOf(await serve(204, ''), 204).run(never)).isPassed).toBe(true);
  });

  it('fails on another status and shows the start of the body', async () => {
    const { isPassed, output } = await checkOf(await serve(503, 'x'.repeat(99_999)), 200).run(never);
    expect(isPassed).toBe(false);
    expect(output).toMatch(/^503 Service Unavailable, want 200: x+$/);
    expect(output.length).toBeLessThanOrEqual(4096);
  });

  it('wants the text that it is told in the body', async () => {
    const url = await serve(200, '{"status":"ready"}');
    expect(await checkOf(url, 200, { bodyContains: '"ready"' }).run(never)).toEqual({
      isPassed: true,
      output: '200 OK',
    });
    expect(await checkOf(url, 200, { bodyContains: 'done' }).run(never)).toEqual({
      isPassed: false,
      output: '200 OK, and the body does not have "done": {"status":"ready"}',
    });
  });

  it('looks for the text in the first 64 KiB alone, and says so', async () => {
    const { isPassed, output } = await checkOf(await serve(200, `${'x'.repeat(65_536)}ready`), 200, {
      bodyContains: 'ready',
    }).run(never);
    expect(isPassed).toBe(false);
    expect(output).toContain('the first 64 KiB of the body does not have "ready"');
  });

  it('does not follow redirects', async () => {
    const url = await serve(302, '', { location: 'http://127.0.0.1:1/' });
    expect((await checkOf(url, 200).run(never)).output).toContain('302');
  });

  it('fails where nobody listens, and when it is aborted', async () => {
    expect((await checkOf('http://127.0.0.1:1/', 200).run(never)).isPassed).toBe(false);
    server = createServer(() => undefined);
    await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const controller = new AbortController();
    server.once('request', () => controller.abort());
    expect((await checkOf(url, 200).run(controller.signal)).isPassed).toBe(false);
  });
});
