import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listenOnSocket } from '../../../agent/api/listen.ts';
import { buildServer } from '../../../agent/api/server.ts';
import { ScriptedControl } from '../../fakes/scripted-control.ts';

let folder = '';
let path = '';
let control: ScriptedControl;
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kaon-api-'));
  path = join(folder, 'kaon.sock');
  control = new ScriptedControl();
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
  await rm(folder, { recursive: true });
});

function newServer() {
  const app = buildServer(control, { agentVersion: '0.1.0', hostFacts: () => ({}), onBug: () => undefined });
  closing.push(() => app.close());
  return app;
}

describe('the socket', () => {
  it('is for owner and group alone', async () => {
    await listenOnSocket(newServer(), path);
    expect((await stat(path)).mode & 0o777).toBe(0o660);
  });

  it('that a killed agent left behind is taken over; that of a living one is not', async () => {
    await listenOnSocket(newServer(), path);
    await expect(listenOnSocket(newServer(), path)).rejects.toMatchObject({ code: 'config-invalid' });
    const dead = join(folder, 'dead.sock');
    const server = createServer().listen(dead);
    await new Promise((resolve) => server.once('listening', resolve));
    // What close() would remove is put back, as after a kill.
    await new Promise((resolve) => server.close(resolve));
    await writeFile(join(folder, 'file'), '');
    await listenOnSocket(newServer(), dead);
    await expect(listenOnSocket(newServer(), join(folder, 'file'))).rejects.toMatchObject({ code: 'config-invalid' });
  });

  it('in a directory that is missing is an error of the configuration', async () => {
    await expect(listenOnSocket(newServer(), join(folder, 'nowhere/kaon.sock'))).rejects.toMatchObject({
      code: 'config-invalid',
    });
  });
});

describe('the stream of events', () => {
  it('replays what was missed, goes on with what comes, and ends with its reader', async () => {
    await listenOnSocket(newServer(), path);
    control.emit('first');
    control.emit('second');
    const text = await new Promise<string>((resolve, reject) => {
      const asking = request({
        socketPath: path,
        path: '/v1/events',
        headers: { accept: 'text/event-stream', 'last-event-id': '1' },
      });
      asking.once('response', (answer) => {
        let seen = '';
        answer.setEncoding('utf8').on('data', (piece: string) => {
          seen += piece;
          if (seen.includes('event: second') && !seen.includes('third')) control.emit('third');
          if (seen.includes('data: {"sequence":3')) {
            asking.destroy();
            resolve(seen);
          }
        });
      });
      asking.once('error', reject);
      asking.end();
    });
    expect(text).not.toContain('event: first');
    expect(text.match(/^id: \d+$/gm)).toEqual(['id: 2', 'id: 3']);
  });
});
