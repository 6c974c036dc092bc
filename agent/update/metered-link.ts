import { AgentError } from '../core/errors.ts';
import {
  type FetchNeed,
  isMeteredAsked,
  type LinkMeter,
  type LinkState,
  meteredObjection,
  type MeteredRules,
} from '../core/metered.ts';
import type { UpdateRequest } from '../core/update-state.ts';

/** Holds updates to the rule for metered links. */
export class MeteredLink {
  readonly rules: MeteredRules;
  readonly #meter: LinkMeter;
  #held: { readonly updateId: string; readonly need: FetchNeed } | undefined;
  #last: LinkState | undefined;

  constructor(meter: LinkMeter, rules: MeteredRules) {
    this.#meter = meter;
    this.rules = rules;
  }

  /** The link when an update last asked; `undefined` where none did. */
  get last(): LinkState | undefined {
    return this.#last;
  }

  /** Rejects with `link-metered` where `update` may not fetch what it needs over the link of now. */
  async admit(update: UpdateRequest, need: FetchNeed): Promise<void> {
    this.#held = undefined;
    const objection = meteredObjection(this.rules, need);
    if (!isMeteredAsked(this.rules, update) || objection === undefined) return;
    const link = await this.#meter.read();
    this.#last = link;
    if (!link.isMetered) return;
    this.#held = { updateId: update.id, need };
    throw new AgentError('link-metered', `cannot fetch ${update.image}: ${link.text}, and ${objection}`, {
      details: { ...need, rule: this.rules.rule },
    });
  }

  /**
   * As `admit`, of an update that was held before: what it needs is known, and is not to be found out again over a link
   * that somebody pays for by the byte.
   */
  async admitAgain(update: UpdateRequest): Promise<void> {
    const held = this.#held;
    if (held?.updateId === update.id) await this.admit(update, held.need);
  }
}
