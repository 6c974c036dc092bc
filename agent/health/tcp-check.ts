import { connect } from 'node:net';
import type { CheckAttempt, HealthCheck } from './health-check.ts';

/** Passes when somebody takes a TCP connection; nothing is sent. */
export class TcpCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #host: string;
  readonly #port: number;

  constructor(name: string, isRequired: boolean, host: string, port: number) {
    this.name = name;
    this.isRequired = isRequired;
    this.#host = host;
    this.#port = port;
  }

  run(signal: AbortSignal): Promise<CheckAttempt> {
    const place = `${this.#host}:${this.#port}`;
    return new Promise((resolve) => {
      const socket = connect({ host: this.#host, port: this.#port, signal });
      const end = (isPassed: boolean, output: string) => {
        socket.destroy();
        resolve({ isPassed, output });
      };
      socket.once('connect', () => end(true, `${place} takes connections`));
      socket.on('error', (error) => end(false, `cannot connect to ${place}: ${error.message}`));
    });
  }
}
