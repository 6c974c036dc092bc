import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A docker-registry that runs for a test. */
export interface RealRegistry {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly stop: () => Promise<void>;
  /** Stops it from answering, its connections kept, until `resume`. */
  readonly pause: () => void;
  readonly resume: () => void;
}

/** A port of loopback that nobody listens at. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await promisify(server.close.bind(server))();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Waits until something listens, trying as fast as refusals come back. */
async function untilListening(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (isUp) return;
  }
}

/** Starts docker-registry with its files below `directory`/`name`; `auth` is a piece of its configuration. */
export async function startDockerRegistry(directory: string, name: string, auth = ''): Promise<RealRegistry> {
  const port = await freePort();
  const config = join(directory, `${name}.yml`);
  const storage = `{filesystem: {rootdirectory: ${join(directory, name)}}, delete: {enabled: true}}`;
  const text = `version: 0.1\nlog: {level: error}\nstorage: ${storage}\nhttp: {addr: "127.0.0.1:${port}"}\n${auth}`;
  await writeFile(config, text);
  const child = spawn('/usr/bin/docker-registry', ['serve', config], { stdio: 'ignore' });
  await untilListening(port, child);
  return {
    host: `127.0.0.1:${port}`,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
  };
}
