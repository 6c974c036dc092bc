import { AgentError, reportOf } from '../core/errors.ts';
import { parseReference } from '../core/image-format/reference.ts';
import type { ImageSourceFactory, RegistryProbe, RegistryReach } from '../core/ports.ts';
import { reachOf } from '../core/registry-reach.ts';
import type { UpdateState } from '../core/update-state.ts';

/** Asks for the image of the update that is under way, as the next update would be asked for. */
export class UpdateRegistryProbe implements RegistryProbe {
  readonly #sources: ImageSourceFactory;
  readonly #state: () => UpdateState;

  constructor(sources: ImageSourceFactory, state: () => UpdateState) {
    this.#sources = sources;
    this.#state = state;
  }

  async probe(signal: AbortSignal): Promise<RegistryReach> {
    const state = this.#state();
    if (!('update' in state) || state.update.from !== undefined || state.update.image === 'unknown') {
      return { kind: 'not-asked', text: 'the update names no registry: it came from an archive, or is not recorded' };
    }
    return probeImage(this.#sources, state.update.image, signal);
  }
}

/** Asks the registry of `image` for it. Rejects with the reason of `signal` alone. */
export async function probeImage(
  sources: ImageSourceFactory,
  image: string,
  signal: AbortSignal,
): Promise<RegistryReach> {
  try {
    await sources(undefined).resolve(parseReference(image), signal);
    return { kind: 'reached', text: `the registry has ${image}` };
  } catch (error) {
    signal.throwIfAborted();
    const reason = error instanceof AgentError ? error.details['reason'] : undefined;
    return reachOf(reportOf(error), typeof reason === 'string' ? reason : undefined);
  }
}
