import type { LinkMeter, LinkState } from '../../agent/core/metered.ts';

/** A link that a test makes metered, or one that nothing is known of. */
export class ManualLink implements LinkMeter {
  kind: 'metered' | 'unmetered' | 'unknown' = 'unmetered';
  /** How often somebody asked. */
  reads = 0;

  async read(): Promise<LinkState> {
    this.reads += 1;
    const { kind } = this;
    if (kind === 'unknown') {
      return { isMetered: false, source: 'unknown', text: 'the link is taken for not metered: nobody knows' };
    }
    const isMetered = kind === 'metered';
    return { isMetered, source: 'network-manager', text: `the link is ${isMetered ? '' : 'not '}metered` };
  }
}
