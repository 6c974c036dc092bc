import type { FastifyInstance } from 'fastify';
import { beforeEach, describe, expect, it } from 'vitest';
import { buildServer } from '../../../agent/api/server.ts';
import { AgentError, errorTable } from '../../../agent/core/errors.ts';
import { ScriptedControl } from '../../fakes/scripted-control.ts';

const digest = `sha256:${'1'.repeat(64)}`;
let control: ScriptedControl;
let app: FastifyInstance;
let bugs: unknown[];

beforeEach(() => {
  control = new ScriptedControl();
  bugs = [];
  app = serverOf('start-1');
});

function serverOf(startId: string): FastifyInstance {
  return buildServer(control, {
    agentVersion: '0.1.0',
    startId,
    hostFacts: () => ({ uptime: 1 }),
    onBug: (error) => bugs.push(error),
  });
}

async function call(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const answer = await app.inject({ method, url, headers, ...(body === undefined ? {} : { payload: body as object }) });
  return {
    status: answer.statusCode,
    headers: answer.headers,
    body: answer.body === '' ? undefined : answer.json<Record<string, unknown>>(),
  };
}

describe('reading', () => {
  it('tells the status with times in ISO 8601 and without absent values', async () => {
    const { status, body } = await call('GET', '/v1/status');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      phase: 'idle',
      startedAt: '1970-01-01T00:00:00.000Z',
      slots: [
        { name: 'a', state: 'good' },
        { name: 'b', state: 'empty' },
      ],
      knownBad: [{ digest, reason: 'health-failed' }],
    });
    expect(body).toMatchObject({ host: { uptime: 1 } });
    expect(body).not.toHaveProperty('current');
    expect(body).not.toHaveProperty('startedAtMs');
  });

  it('answers 304 while nothing changed, and waits for a change when asked to', async () => {
    const { headers } = await call('GET', '/v1/status');
    const etag = String(headers.etag);
    expect((await call('GET', '/v1/status', undefined, { 'if-none-match': etag })).status).toBe(304);
    const waiting = call('GET', '/v1/status?wait=30', undefined, { 'if-none-match': etag });
    await new Promise((resolve) => setImmediate(resolve));
    control.emit('slot-written');
    expect((await waiting).status).toBe(200);
  });

  it('answers at once to the ETag of another start of the agent, which counted its versions from one as well', async () => {
    const { headers } = await call('GET', '/v1/status');
    app = serverOf('start-2');
    const stale = { 'if-none-match': String(headers.etag) };
    expect((await call('GET', '/v1/status', undefined, stale)).status).toBe(200);
    expect((await call('GET', '/v1/status?wait=60', undefined, stale)).status).toBe(200);
    expect((await call('GET', '/v1/status?wait=60', undefined, { 'if-none-match': 'W/"1"' })).status).toBe(200);
  });

  it.each([
    '/v1/slots',
    '/v1/slots/a',
    '/v1/updates',
    '/v1/rollbacks',
    '/v1/health',
    '/v1/known-bad',
    '/v1/hold',
    '/v1/rate-limit',
    '/v1/events',
    '/healthz',
    '/v1/host',
  ])('answers %s', async (url) => {
    expect((await call('GET', url)).status).toBe(200);
  });

  it('has a page of codes', async () => {
    const { body, statusCode } = await app.inject({ method: 'GET', url: '/docs/errors' });
    expect(statusCode).toBe(200);
    for (const code of Object.keys(errorTable)) expect(body).toContain(`${code}\n`);
  });
});

describe('asking', () => {
  it('starts an update and says where it is', async () => {
    const { status, headers, body } = await call(
      'POST',
      '/v1/updates',
      { image: 'r.io/os:v2' },
      { 'idempotency-key': 'k1' },
    );
    expect([status, headers.location, body]).toEqual([202, '/v1/updates/u-1', { updateId: 'u-1', isRepeated: false }]);
    expect(control.asked).toEqual(['update r.io/os:v2 registry committed operator k1']);
    expect((await call('GET', '/v1/updates/u-1')).body).toMatchObject({
      phase: 'preparing',
      request: { requestedAt: '1970-01-01T00:00:00.000Z' },
    });
  });

  it.each([
    ['POST', '/v1/plans', { image: 'r.io/os:v2' }, 200, 'plan r.io/os:v2'],
    [
      'POST',
      '/v1/updates',
      { image: 'r.io/os:v2', from: 'oci-archive:/media/x.tar', until: 'staged' },
      202,
      'update r.io/os:v2 oci-archive:/media/x.tar staged operator no key',
    ],
    [
      'POST',
      '/v1/updates',
      { image: 'r.io/os:v1', downgradeReason: 'v2 breaks the modems' },
      202,
      'update r.io/os:v1 registry committed operator no key below the floor: v2 breaks the modems',
    ],
    [
      'POST',
      '/v1/updates',
      { image: 'r.io/os:v1', metered: true },
      202,
      'update r.io/os:v1 registry committed operator no key metered',
    ],
    ['POST', '/v1/updates/u-1/activate', { reboot: true }, 202, 'activate u-1 true'],
    ['POST', '/v1/updates/u-1/activate', undefined, 202, 'activate u-1 false'],
    ['POST', '/v1/updates/u-1/pause', {}, 202, 'pause u-1'],
    ['POST', '/v1/updates/u-1/resume', {}, 202, 'resume u-1'],
    ['POST', '/v1/updates/u-1/resume', { metered: true }, 202, 'resume u-1 metered'],
    ['POST', '/v1/updates/u-1/cancel', {}, 202, 'cancel u-1'],
    ['POST', '/v1/rollbacks', undefined, 202, 'rollback no key'],
    ['POST', '/v1/slots/a/mark-good', undefined, 204, 'mark-good a'],
    ['POST', '/v1/slots/b/mark-bad', undefined, 204, 'mark-bad b'],
    ['DELETE', `/v1/known-bad/${digest}`, undefined, 204, `clear ${digest}`],
    ['POST', '/v1/triggers', { payload: 'x' }, 202, 'trigger {"payload":"x"}'],
    ['POST', '/v1/reboot', undefined, 202, 'reboot'],
    ['POST', '/v1/loader-test', undefined, 202, 'test-loader'],
    ['POST', '/v1/facts/confirm', undefined, 204, 'confirm-facts'],
    [
      'PUT',
      '/v1/hold',
      { reason: 'fair', until: '2027-01-01T00:00:00Z' },
      204,
      `hold fair ${Date.parse('2027-01-01T00:00:00Z')}`,
    ],
    ['PUT', '/v1/rate-limit', { bytesPerSecond: 65_536 }, 204, 'rate-limit 65536'],
    ['PUT', '/v1/rate-limit', { bytesPerSecond: null }, 204, 'rate-limit none'],
  ] as const)('%s %s with %j', async (method, url, body, status, asked) => {
    expect((await call(method, url, body)).status).toBe(status);
    expect(control.asked).toEqual([asked]);
  });
});

it('tells a limit of downloads, and takes it back', async () => {
  expect((await call('GET', '/v1/rate-limit')).body).toEqual({ bytesPerSecond: null, by: 'configuration' });
  await call('PUT', '/v1/rate-limit', { bytesPerSecond: 65_536 });
  expect((await call('GET', '/v1/rate-limit')).body).toEqual({ bytesPerSecond: 65_536, by: 'operator' });
  expect((await call('DELETE', '/v1/rate-limit')).status).toBe(204);
  expect((await call('GET', '/v1/rate-limit')).body).toMatchObject({ by: 'configuration' });
});

describe('problems', () => {
  it.each([
    ['an unknown field', 'POST', '/v1/updates', { image: 'r.io/os', force: true }, 'force'],
    ['a missing image', 'POST', '/v1/updates', {}, 'image'],
    ['an impossible goal', 'POST', '/v1/updates', { image: 'r.io/os', until: 'rebooted' }, 'until'],
    ['a source that is none', 'POST', '/v1/updates', { image: 'r.io/os', from: '/etc/shadow' }, 'from'],
    ['a hold without a reason', 'PUT', '/v1/hold', {}, 'reason'],
    ['a limit that is none', 'PUT', '/v1/rate-limit', { bytesPerSecond: 5 }, 'bytesPerSecond'],
    ['a limit in words', 'PUT', '/v1/rate-limit', { bytesPerSecond: '4MiB/s' }, 'bytesPerSecond'],
    ['a slot that is none', 'POST', '/v1/slots/c/mark-bad', {}, 'slot'],
    ['a page that is too long', 'GET', '/v1/updates?limit=100000', undefined, 'limit'],
  ] as const)('name the field of %s', async (_name, method, url, body, field) => {
    const answer = await call(method, url, body);
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code: 'usage-invalid', details: { field } });
    expect(String(answer.headers['content-type'])).toMatch('application/problem+json');
    expect(control.asked).toEqual([]);
  });

  it.each(Object.entries(errorTable).filter(([code]) => code !== 'internal'))(
    'give %s as the table says',
    async (code, row) => {
      control.failure = new AgentError(code as 'known-bad', `cannot do it: ${code}`);
      const { status, body } = await call('POST', '/v1/updates', { image: 'r.io/os' });
      expect(status).toBe(row.httpStatus);
      expect(body).toMatchObject({
        type: `/docs/errors#${code}`,
        title: row.title,
        detail: `cannot do it: ${code}`,
        retryable: row.isRetryable,
      });
    },
  );

  it('say who holds a reboot back', async () => {
    control.rebootHeldBy = 'apt holds the reboot back: installs';
    expect(await call('POST', '/v1/reboot')).toMatchObject({ status: 202, body: { heldBy: control.rebootHeldBy } });
  });

  it('keep the words of a bug to the log', async () => {
    control.failure = new TypeError('secret of the inside');
    const { status, body } = await call('POST', '/v1/reboot');
    expect(status).toBe(500);
    expect(JSON.stringify(body)).not.toContain('secret');
    expect(bugs).toEqual([control.failure]);
  });

  it('refuse what is too large, no JSON, or nowhere', async () => {
    const large = await call('POST', '/v1/triggers', { payload: 'x'.repeat(70_000) });
    expect([large.status, large.body?.code]).toEqual([413, 'body-too-large']);
    const text = await app.inject({
      method: 'POST',
      url: '/v1/updates',
      headers: { 'content-type': 'application/json' },
      payload: '{',
    });
    expect([text.statusCode, text.json<{ code: string }>().code]).toEqual([400, 'usage-invalid']);
    expect(await call('GET', '/v2/status')).toMatchObject({ status: 404, body: { code: 'resource-not-found' } });
    expect(await call('GET', `/v1/known-bad/sha256:${'2'.repeat(64)}`)).toMatchObject({ status: 404 });
  });
});
