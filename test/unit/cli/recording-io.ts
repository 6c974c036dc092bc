import type { Io } from '../../../agent/cli/io.ts';
import type { CliDeps } from '../../../agent/cli/invocation.ts';
import type { Clock } from '../../../agent/core/ports.ts';
import { EagerClock } from '../../fakes/eager-clock.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { initFacts, inspection } from './node-samples.ts';

/** An `Io` that keeps what is written, and a key that plays Ctrl-C. */
export class RecordingIo implements Io {
  stdout = '';
  stderr = '';
  readonly clock: Clock;
  readonly isTerminal: boolean;
  readonly columns: number = 80;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Called after each write to stderr. */
  onErr: (text: string) => void = () => undefined;
  /** Called after each write to stdout. */
  onOut: (text: string) => void = () => undefined;
  readonly #interruption = new AbortController();

  constructor(options: { environment?: Readonly<Record<string, string>>; isTerminal?: boolean; clock?: Clock } = {}) {
    this.environment = options.environment ?? {};
    this.isTerminal = options.isTerminal ?? false;
    this.clock = options.clock ?? new EagerClock();
  }

  get interrupted(): AbortSignal {
    return this.#interruption.signal;
  }

  interrupt(): void {
    this.#interruption.abort(new Error('interrupted'));
  }

  readonly out = (text: string): void => {
    this.stdout += text;
    this.onOut(text);
  };

  readonly err = (text: string): void => {
    this.stderr += text;
    this.onErr(text);
  };

  /** stdout as the one JSON value that it must be. */
  json(): unknown {
    return JSON.parse(this.stdout);
  }
}

/** What kaonctl is made with in tests; `input` is what comes on stdin. */
export function testDeps(input = ''): CliDeps {
  return {
    version: '1.2.3',
    builtAtMs: undefined,
    random: new SeededRandom(),
    platform: { os: 'linux', architecture: 'amd64', variant: undefined },
    detectLoaders: async () => [],
    readInitFacts: async () => initFacts(),
    inspectNode: async () => inspection(),
    openInput: async function* () {
      yield Buffer.from(input);
    },
  };
}
