import type { EfiVariables } from './efi-variable-store.ts';
import { parseVariable } from './efi-variables.ts';
import type { ChoosingVariable, EfiVariables as ChoosingVariables } from './systemd-boot-overrides.ts';

/** systemd's vendor GUID (The Boot Loader Interface). */
export const loaderGuid = '4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';

/** EFI_LOADER_FEATURE_ENTRY_PREFERRED. */
const preferredFeature = 19n;

/** The variables by which systemd-boot chooses, in the firmware: UTF-16 with a NUL at its end. */
export class LoaderVariables implements ChoosingVariables {
  readonly #variables: EfiVariables;

  constructor(variables: EfiVariables) {
    this.#variables = variables;
  }

  /** A variable that this loader does not know chooses nothing. Rejects besides with `boot-env-corrupt`. */
  async read(name: ChoosingVariable): Promise<string | undefined> {
    if (name === 'LoaderEntryPreferred' && !(await this.#hasFeature(preferredFeature))) return undefined;
    const bytes = await this.#variables.read(name, loaderGuid);
    if (bytes === undefined) return undefined;
    return Buffer.from(parseVariable(bytes).data).toString('utf16le').replace(/\0.*$/s, '');
  }

  async remove(name: ChoosingVariable): Promise<void> {
    await this.#variables.locked(() => this.#variables.remove(name, loaderGuid));
  }

  async #hasFeature(bit: bigint): Promise<boolean> {
    const bytes = await this.#variables.read('LoaderFeatures', loaderGuid);
    if (bytes === undefined) return false;
    const { data } = parseVariable(bytes);
    if (data.byteLength < 8) return false;
    const features = new DataView(data.buffer, data.byteOffset, data.byteLength).getBigUint64(0, true);
    return ((features >> bit) & 1n) === 1n;
  }
}
