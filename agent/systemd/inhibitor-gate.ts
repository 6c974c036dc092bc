import type { Clock, Gate, GateAnswer } from '../core/ports.ts';
import type { UpdateRequest } from '../core/update-state.ts';
import type { CommandRunner } from './command-runner.ts';

const askTimeoutMs = 10_000;

const question = [
  ...['busctl', '--system', '--json=short', '--timeout=5', 'call', 'org.freedesktop.login1', '/org/freedesktop/login1'],
  ...['org.freedesktop.login1.Manager', 'ListInhibitors'],
];

/** Who keeps the node from being shut down, and why. */
export interface Inhibitor {
  readonly who: string;
  readonly why: string;
}

/** How long an update's reboot waits for inhibitors, and what comes then. */
export interface InhibitorRules {
  readonly inhibitorWaitMs: number;
  readonly afterWait: 'force' | 'wait';
}

/**
 * Closed while somebody blocks shutdowns at logind; with `force`, for `inhibitorWaitMs` at most, counted for each update. It
 * is asked before the loader is armed, so that no trial stands meanwhile. Where logind can't be asked, nobody blocks.
 */
export class InhibitorGate implements Gate {
  readonly name = 'inhibitor';
  readonly at = ['reboot'] as const;
  readonly #commands: CommandRunner;
  readonly #clock: Clock;
  readonly #rules: InhibitorRules;
  #blocked: { readonly updateId: string; readonly sinceMs: number } | undefined;

  constructor(commands: CommandRunner, clock: Clock, rules: InhibitorRules) {
    this.#commands = commands;
    this.#clock = clock;
    this.#rules = rules;
  }

  async ask({ id }: Pick<UpdateRequest, 'id'>): Promise<GateAnswer> {
    const { exitCode, output } = await this.#commands.run(question, AbortSignal.timeout(askTimeoutMs));
    const [first, ...others] = exitCode === 0 ? parseInhibitors(output) : [];
    if (first === undefined) {
      this.#blocked = undefined;
      return { isOpen: true };
    }
    const nowMs = this.#clock.monotonicMs();
    // The clock of another update's wait says nothing of this one.
    if (this.#blocked?.updateId !== id) this.#blocked = { updateId: id, sinceMs: nowMs };
    const leftMs = this.#blocked.sinceMs + this.#rules.inhibitorWaitMs - nowMs;
    const isForced = this.#rules.afterWait === 'force';
    if (isForced && leftMs <= 0) return { isOpen: true };
    const more = others.length === 0 ? '' : `, and ${others.length} more`;
    const text = `${first.who} holds the reboot back: ${first.why}${more}`;
    const untilMs = isForced ? this.#clock.nowMs() + leftMs : undefined;
    return { isOpen: false, code: 'reboot-inhibited', text, untilMs };
  }
}

/**
 * Who blocks shutdowns, by the answer of `busctl` to ListInhibitors (org.freedesktop.login1(5)): what, who, why, mode, uid and
 * pid of each. Delays are logind's to wait for. What can't be read blocks nothing.
 */
export function parseInhibitors(output: string): readonly Inhibitor[] {
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    return [];
  }
  const data = typeof answer === 'object' && answer !== null && 'data' in answer ? answer.data : undefined;
  const list: unknown = Array.isArray(data) ? data[0] : undefined;
  return (Array.isArray(list) ? (list as readonly unknown[]) : []).flatMap((entry): readonly Inhibitor[] => {
    if (!Array.isArray(entry)) return [];
    const [what, who, why, mode] = entry.map(String);
    if (mode !== 'block' || what?.split(':').includes('shutdown') !== true) return [];
    return [{ who: oneLine(who), why: oneLine(why) }];
  });
}

function oneLine(text = ''): string {
  const line = text.replaceAll(/\s+/g, ' ').trim().slice(0, 120);
  return line === '' ? 'somebody' : line;
}
