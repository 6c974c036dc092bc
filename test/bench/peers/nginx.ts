import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../../fakes/simulated-node.ts';
import { freePort } from '../../system/docker-registry.ts';

/** An nginx on loopback that serves the files of the peers. */
export class Nginx {
  readonly host: string;
  readonly #child: ChildProcess;

  private constructor(host: string, child: ChildProcess) {
    this.host = host;
    this.#child = child;
  }

  /** Serves the files of these folders by their names, those of the first one first. */
  static async open(folder: string, roots: readonly [string, string]): Promise<Nginx> {
    const port = await freePort();
    await mkdir(folder, { recursive: true });
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder};`);
    const config = join(folder, 'nginx.conf');
    await writeFile(
      config,
      `user root; worker_processes 1; daemon off; pid ${folder}/pid; error_log ${folder}/error.log;
       events {}
       http {
         access_log off; sendfile on; ${paths.join(' ')}
         server {
           listen 127.0.0.1:${port};
           location / { root ${roots[0]}; try_files $uri @more; }
           location @more { root ${roots[1]}; }
         }
       }`,
    );
    const child = spawn('/usr/sbin/nginx', ['-e', `${folder}/error.log`, '-c', config], { stdio: 'ignore' });
    const host = `127.0.0.1:${port}`;
    await until('nginx', 10_000, async () =>
      fetch(`http://${host}/`).then(
        () => true,
        () => undefined,
      ),
    );
    return new Nginx(host, child);
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await ended;
  }
}
