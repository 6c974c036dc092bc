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
  const app = buildServer(control, {
    agentVersion: '0.1.0',
    startId: 'start-1',
    hostFacts: () => ({}),
    onBug: () => undefined,
  });
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

/** Reads the stream until `isEnough`; `onText` hears what came so far. */
async function readStream(
  lastEventId: number,
  isEnough: (text: string) => boolean,
  onText: (text: string) => void = () => undefined,
): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    const headers = { accept: 'text/event-stream', 'last-event-id': String(lastEventId) };
    const asking = request({ socketPath: path, path: '/v1/events', headers });
    asking.once('response', (answer) => {
      let seen = '';
      answer.setEncoding('utf8').on('data', (piece: string) => {
        seen += piece;
        onText(seen);
        if (!isEnough(seen)) return;
        asking.destroy();
        resolve(seen);
      });
    });
    asking.once('error', reject);
    asking.end();
  });
}

describe('the stream of events', () => {
  it('replays what was missed, goes on with what comes, and ends with its reader', async () => {
    await listenOnSocket(newServer(), path);
    control.emit('first');
    control.emit('second');
    let isThirdEmitted = false;
    const text = await readStream(
      1,
      (seen) => seen.includes('data: {"sequence":3'),
      (seen) => {
        if (isThirdEmitted || !seen.includes('event: second')) return;
        isThirdEmitted = true;
        control.emit('third');
      },
    );
    expect(text).not.toContain('event: first');
    expect(text.match(/^id: \d+$/gm)).toEqual(['id: 2', 'id: 3']);
  });

  it('replays more than one page of what was missed', async () => {
    await listenOnSocket(newServer(), path);
    for (let count = 1; count <= 2500; count += 1) control.emit(`event-${count}`);
    const text = await readStream(0, (seen) => seen.includes('event: event-2500\n'));
    expect(text.match(/^id: \d+$/gm)).toHaveLength(2500);
  });

  it('tells times as ISO 8601', async () => {
    await listenOnSocket(newServer(), path);
    control.emit('first');
    expect(await readStream(0, (seen) => seen.includes('"sequence":1'))).toContain('"at":"1970-01-01T00:00:00.000Z"');
  });
});
