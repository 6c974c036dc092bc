import type { KaonConfig } from '../config/config.ts';
import type { ErrorReport } from '../core/errors.ts';
import type { RegistryReach } from '../core/ports.ts';

/** A file that could not be used; `isDenied`: this user may not read it. */
export interface FileFault extends ErrorReport {
  readonly isDenied: boolean;
}

/** A unit as systemd shows it. */
export interface UnitView {
  readonly name: string;
  readonly loadState: string;
  readonly activeState: string;
  readonly fileState: string;
  readonly result: string;
}

/** What the node itself shows, without kaond. `undefined` for what can't be told here. */
export interface NodeInspection {
  readonly configFile: string;
  /** The configuration, or why it can't be used. */
  readonly config: KaonConfig | FileFault;
  /** Keys, credentials and certificates that it names and that can't be used. */
  readonly fileFaults: readonly FileFault[];
  readonly units: readonly UnitView[] | undefined;
  /** systemd's RuntimeWatchdogUSec as it prints it: `0`, `30s`, `infinity`. */
  readonly runtimeWatchdog: string | undefined;
  readonly hasWatchdogDevice: boolean;
  /** Seconds after which the kernel reboots from a panic; 0: never. */
  readonly panicSeconds: number | undefined;
  readonly stateDir: { readonly availableBytes: number; readonly totalBytes: number } | undefined;
  readonly timeSynchronised: boolean | string;
  /** What asking for the installed image came to; `undefined`: no image is known. */
  readonly registry: RegistryReach | undefined;
}

/** What is looked at, and where. */
export interface InspectionInput {
  readonly configFile: string;
  /** The image that runs, by which its registry is asked. */
  readonly image: string | undefined;
}

/** Looks at the node. Never rejects but with the reason of `signal`. */
export type InspectNode = (input: InspectionInput, signal: AbortSignal) => Promise<NodeInspection>;
