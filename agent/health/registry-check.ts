import type { RegistryProbe } from '../core/ports.ts';
import type { CheckAttempt, HealthCheck } from './health-check.ts';

const outage = 'an outage of the registry would look the same';

/** Passes when the node reaches the registry that its update came from; what an outage looks like as well does not count. */
export class RegistryCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly lateExcuse = outage;
  readonly #registry: RegistryProbe;

  constructor(name: string, isRequired: boolean, registry: RegistryProbe) {
    this.name = name;
    this.isRequired = isRequired;
    this.#registry = registry;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    const { kind, text: output } = await this.#registry.probe(signal);
    switch (kind) {
      case 'reached':
      case 'not-asked':
        return { isPassed: true, output };
      case 'cut-off':
        return { isPassed: false, output };
      case 'silent':
        return { isPassed: false, output, excuse: outage };
    }
  }
}
