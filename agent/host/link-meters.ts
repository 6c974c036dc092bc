import type { LinkMeter, LinkState } from '../core/metered.ts';
import type { CommandOutcome } from './process-command-runner.ts';

const timeoutMs = 10_000;

const question = [
  ...['busctl', '--system', '--json=short', '--timeout=5', 'get-property', 'org.freedesktop.NetworkManager'],
  ...['/org/freedesktop/NetworkManager', 'org.freedesktop.NetworkManager', 'Metered'],
];

/** Runs a program to its end. Never rejects. */
interface Commands {
  run(argv: readonly string[], signal: AbortSignal): Promise<CommandOutcome>;
}

/** The link as NetworkManager sees the one of the default route. */
export class NetworkManagerLink implements LinkMeter {
  readonly #commands: Commands;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  async read(): Promise<LinkState> {
    const { exitCode, output } = await this.#commands.run(question, AbortSignal.timeout(timeoutMs));
    return exitCode === 0 ? parseMetered(output) : unknown(`NetworkManager does not answer: ${output}`);
  }
}

/** The link as the configuration states it. */
export class StatedLink implements LinkMeter {
  readonly #isMetered: boolean;

  constructor(isMetered: boolean) {
    this.#isMetered = isMetered;
  }

  async read(): Promise<LinkState> {
    const text = `the configuration says that the link is ${this.#isMetered ? '' : 'not '}metered`;
    return { isMetered: this.#isMetered, source: 'config', text };
  }
}

/** Reads the answer of `busctl`, an NMMetered: 1 yes, 2 no, 3 and 4 the same as a guess. */
export function parseMetered(output: string): LinkState {
  const value = /^\{"type":"u","data":(\d{1,10})\}$/.exec(output.trim())?.[1];
  const source = 'network-manager';
  switch (value) {
    case '1':
      return { isMetered: true, source, text: 'NetworkManager says that the link is metered' };
    case '2':
      return { isMetered: false, source, text: 'NetworkManager says that the link is not metered' };
    case '3':
      return { isMetered: true, source, text: 'NetworkManager guesses that the link is metered' };
    case '4':
      return { isMetered: false, source, text: 'NetworkManager guesses that the link is not metered' };
    case '0':
      return unknown('NetworkManager does not know');
    default:
      return unknown(`NetworkManager answers ${output}`);
  }
}

function unknown(reason: string): LinkState {
  const text = `the link is taken for not metered: ${reason.slice(0, 300)}`;
  return { isMetered: false, source: 'unknown', text };
}
