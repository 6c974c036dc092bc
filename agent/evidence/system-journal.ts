import type { EvidenceItem } from '../core/update-state.ts';
import type { CommandRunner } from './command-runner.ts';

const limitMs = 10_000;
const shownLines = 80;
const shownErrors = 30;

/** What the system's journal has of the boot before this one. */
export interface PreviousBoot {
  /** As the kernel writes it, with its dashes; `undefined` where the journal keeps no earlier boot, or can't be asked. */
  readonly bootId: string | undefined;
  /** Why there is none, in words. */
  readonly absence: string | undefined;
}

/** The system's journal by `journalctl`, and the failed units by `systemctl`; bounded in bytes and time. Never rejects. */
export class SystemJournal {
  readonly #commands: CommandRunner;

  constructor(commands: CommandRunner) {
    this.#commands = commands;
  }

  /** Which boot the journal has before this one. */
  async previousBoot(): Promise<PreviousBoot> {
    const fields = '--output-fields=_BOOT_ID';
    const { exitCode, output } = await this.#ask('--boot=-1', '--lines=1', '--output=json', fields);
    const bootId = exitCode === 0 ? parseBootId(output) : undefined;
    if (bootId !== undefined) return { bootId, absence: undefined };
    return { bootId, absence: output === '' ? 'journalctl said nothing' : output.slice(0, 500) };
  }

  /** The end of the boot `bootId`, and its latest errors. */
  async excerpt(bootId: string): Promise<readonly EvidenceItem[]> {
    const boot = `--boot=${bootId.replaceAll('-', '')}`;
    const short = bootId.slice(0, 8);
    return [
      await this.#item(`boot ${short}, its end`, boot, `--lines=${shownLines}`),
      await this.#item(`boot ${short}, its errors`, boot, `--lines=${shownErrors}`, '--priority=err'),
    ];
  }

  /** What this boot can say of itself before it ends: the units that failed, and the latest errors. */
  async ofThisBoot(): Promise<readonly EvidenceItem[]> {
    const argv = ['systemctl', 'list-units', '--failed', '--plain', '--no-legend', '--no-pager', '--full'];
    const { exitCode, output } = await this.#commands.run(argv, AbortSignal.timeout(limitMs));
    const text = exitCode === 0 ? (output === '' ? 'none' : output) : `cannot be told: ${output}`;
    return [
      { kind: 'units', name: 'failed units of the trial', text },
      await this.#item('errors of the trial', '--boot=0', `--lines=${shownErrors}`, '--priority=err'),
    ];
  }

  async #item(name: string, ...options: readonly string[]): Promise<EvidenceItem> {
    const { exitCode, output } = await this.#ask(...options, '--output=short-iso', '--no-hostname');
    const text = exitCode === 0 ? (output === '' ? 'nothing' : output) : `cannot be told: ${output}`;
    return { kind: 'journal', name, text };
  }

  async #ask(...options: readonly string[]) {
    return this.#commands.run(['journalctl', '--no-pager', '--quiet', ...options], AbortSignal.timeout(limitMs));
  }
}

/** The boot id in a line of `journalctl --output=json`, with dashes; `undefined` for anything else. */
export function parseBootId(output: string): string | undefined {
  const [, id] = /"_BOOT_ID"\s*:\s*"([0-9a-f]{32})"/.exec(output) ?? [];
  return id?.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
