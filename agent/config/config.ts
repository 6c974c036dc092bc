import type { PartitionConfig } from '../../partitions/block-device.ts';
import type { TrustConfig } from './trust-config.ts';
import type { SlotName } from '../core/update-state.ts';

/** The node's configuration, merged, checked and with every default filled in. Durations are milliseconds. */
export interface KaonConfig {
  readonly formatVersion: 1;
  readonly node: {
    /** `undefined`: the machine id is the node's id. */
    readonly id: string | undefined;
    readonly compatible: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly stateDir: string;
  readonly slots: Readonly<Record<SlotName, SlotConfig>>;
  readonly bootloader: BootloaderConfig;
  readonly trust: TrustConfig;
  /** By `host[:port]`. */
  readonly registries: Readonly<Record<string, RegistryConfig>>;
  /** The registries.conf that is read where it exists; `undefined`: none. */
  readonly registriesConf: string | undefined;
  readonly health: HealthConfig;
  readonly update: UpdateConfig;
  readonly triggers: { readonly keys: Readonly<Record<string, TriggerKeyConfig>> };
  readonly api: { readonly socket: string };
}

/** One slot: what the loader calls it, and its partitions by name. */
export interface SlotConfig {
  readonly bootName: string;
  /** Kernel options of the slot, for a loader that gets its entries from kaon. */
  readonly bootOptions: string | undefined;
  readonly partitions: Readonly<Record<string, PartitionConfig>>;
}

/** The loader and where its environment lies. `tries` is what a trial is armed with. */
export type BootloaderConfig = GrubConfig | SystemdBootConfig | UbootConfig | GptConfig | TrybootConfig | EfiConfig;

/** GRUB, by its environment block. */
export interface GrubConfig {
  readonly type: 'grub';
  readonly environment: string;
  /** Where the shadow copy of the environment is kept; `undefined`: `grubenv.kaon` beside it, if there is one. */
  readonly shadow: string | undefined;
  /** `kaon`: our grub.cfg, several tries. `rauc`: RAUC's grub.cfg, one try. */
  readonly dialect: 'kaon' | 'rauc';
  readonly tries: number;
}

/** A partition that the loader reads: mounted while it is used, or by the system all the time. */
export type BootPartitionConfig = { readonly device?: string | undefined; readonly path?: string | undefined };

/** systemd-boot, by its entries. */
export interface SystemdBootConfig {
  readonly type: 'systemd-boot';
  /** Where the loader itself and loader.conf lie. */
  readonly esp: BootPartitionConfig;
  /** Where entries and kernels lie; `undefined`: on the ESP. */
  readonly xbootldr: BootPartitionConfig | undefined;
  /** Entries are `<entryPrefix>-a` and `-b` with their suffix, what is staged lies in `<entryPrefix>/a` and `/b`. */
  readonly entryPrefix: string;
  /** `type1`: entries are files that name a kernel or an image. `type2`: they are unified kernel images in EFI/Linux. */
  readonly entries: 'type1' | 'type2';
  readonly tries: number;
}

/** U-Boot, by its environment. */
export interface UbootConfig {
  readonly type: 'uboot';
  /** The fw_env.config, or a file in its format, that says where the environment lies. */
  readonly environment: string;
  /** `rauc`: BOOT_ORDER and BOOT_<n>_LEFT. `bootcount`: U-Boot's own counter. */
  readonly dialect: 'rauc' | 'bootcount';
  readonly tries: number;
  /** How two copies are told apart: by a counter, by an active flag (NOR flash), or, as files, by `kaon_sequence`. */
  readonly flags: 'incremental' | 'boolean' | 'sequence';
  /** The variable that names the slot in the dialect `bootcount`. */
  readonly slotVariable: string | undefined;
  /** Updates although the environment has one copy, which power lost in a change loses. */
  readonly isSingleCopyAllowed: boolean;
  /** U-Boot's compiled-in environment as text, for a repair when no copy is valid; else that is refused. */
  readonly defaults: string | undefined;
}

/** The attributes of partitions in a GPT: ChromeOS, Flatcar, Bottlerocket. */
export interface GptConfig {
  readonly type: 'gpt';
  /** The whole disk. Nothing of it but its partition tables is written. */
  readonly disk: string;
  /** GUIDs of the partitions that the loader chooses from, in lower case. */
  readonly partitions: Readonly<Record<SlotName, string>>;
  readonly tries: number;
}

/** The Raspberry Pi's firmware. */
export interface TrybootConfig {
  readonly type: 'tryboot';
  /** The autoboot.txt, on the first FAT partition. */
  readonly file: string;
  /** Numbers of the slots' boot partitions. */
  readonly partitions: Readonly<Record<SlotName, number>>;
  readonly tries: 1;
}

/** UEFI's own boot manager. */
export interface EfiConfig {
  readonly type: 'efi';
  /** Each a boot entry's description, or its name `Boot####`. */
  readonly entries: Readonly<Record<SlotName, string>>;
  /** What the entries start, to make them again; the GUID of a partition and a path there. */
  readonly loaders: Readonly<Record<SlotName, { readonly partition: string; readonly path: string }>> | undefined;
  readonly tries: 1;
}

/** How one registry is reached. */
export interface RegistryConfig {
  readonly authFile: string | undefined;
  /** Hosts beside its own that may be sent its credentials for a token. */
  readonly authHosts: readonly string[];
  readonly caFile: string | undefined;
  /** The certificate that the node shows, and its key; both or neither. */
  readonly clientCertFile: string | undefined;
  readonly clientKeyFile: string | undefined;
  readonly isInsecureHttpAllowed: boolean;
  readonly proxy: string | undefined;
  /** Hosts that are reached without the proxy. */
  readonly noProxy: readonly string[];
  /** Where its images are fetched before it is asked, in that order. */
  readonly mirrors: readonly MirrorConfig[];
}

/** A registry that holds copies of another one's repositories. */
export interface MirrorConfig {
  readonly registry: string;
  /** Stands in the place of `prefix` before the names of its repositories; may be empty. */
  readonly path: string;
  /** The repositories that it has, below the original registry; empty: all. */
  readonly prefix: string;
  /** Whether it may say what tags mean, and which signatures images have. */
  readonly isTagged: boolean;
}

/** How a trial is judged. */
export interface HealthConfig {
  /** How long a trial has for its verdict. */
  readonly deadlineMs: number;
  /** How long with a check that says that it still works. */
  readonly hardDeadlineMs: number;
  /** How long and how often what is committed is checked on; `undefined`: not at all. */
  readonly probation: ProbationConfig | undefined;
  readonly checks: readonly CheckConfig[];
}

/** The checks that go on after a commit. */
export interface ProbationConfig {
  readonly durationMs: number;
  readonly intervalMs: number;
  /** `alarm`: a failure is told. `roll-back`: it leads back to the old slot, where that is good. */
  readonly onFailure: 'alarm' | 'roll-back';
}

interface CheckBase {
  readonly name: string;
  readonly isRequired: boolean;
  /** Longest time of one attempt. */
  readonly timeoutMs: number;
  /** Wait between two attempts. */
  readonly intervalMs: number;
  /** Failed attempts after the first one; `undefined`: until the deadline. */
  readonly retries: number | undefined;
  /** Wait before the first attempt, once the checks that come before it passed. */
  readonly startDelayMs: number;
  /** So many passes in a row make it pass. */
  readonly passes: number;
  /** Checks that have to pass before it is tried. */
  readonly after: readonly string[];
  /** How it is held against what it said before the update. */
  readonly baseline: 'none' | 'excuse' | 'prove';
}

/** One health check. */
export type CheckConfig =
  | (CheckBase & { readonly kind: 'command'; readonly command: readonly string[] })
  | (CheckBase & {
      readonly kind: 'http';
      readonly url: string;
      readonly status: number;
      /** Text that has to stand in the body. */
      readonly bodyContains: string | undefined;
      /** Trusted in place of the public roots. */
      readonly caFile: string | undefined;
      readonly clientCertificateFile: string | undefined;
      readonly clientKeyFile: string | undefined;
      /** Takes any certificate. */
      readonly isInsecure: boolean;
    })
  | (CheckBase & { readonly kind: 'tcp'; readonly host: string; readonly port: number })
  /** Its own health endpoint; whether the cluster takes the node for Ready is `kubernetes-node`. */
  | (CheckBase & { readonly kind: 'kubelet'; readonly url: string })
  | (CheckBase & {
      readonly kind: 'kubernetes-node';
      readonly kubeconfig: string;
      /** Its name in the cluster; `undefined`: the host's name in lower case. */
      readonly node: string | undefined;
    })
  | (CheckBase & {
      readonly kind: 'host';
      readonly freeDisk: readonly { readonly path: string; readonly minBytes: number }[];
      readonly memoryMinBytes: number | undefined;
      readonly temperatureMaxCelsius: number | undefined;
      readonly isTimeSynchronised: boolean;
      readonly hasDefaultRoute: boolean;
    })
  /** Whether the node can still fetch its next update. */
  | (CheckBase & { readonly kind: 'registry-reachable' })
  /** Whether units failed, or are still being started. */
  | (CheckBase & { readonly kind: 'systemd-state'; readonly ignore: readonly string[] })
  /** greenboot's scripts in these directories. */
  | (CheckBase & { readonly kind: 'greenboot'; readonly directories: readonly string[] })
  | (CheckBase & {
      readonly kind: 'systemd-unit';
      readonly unit: string;
      /** More restarts than this since the boot are a failure; `undefined`: restarts are not looked at. */
      readonly maxRestarts: number | undefined;
    });

/** The update rules. */
export interface UpdateConfig {
  readonly retry: RetryConfig;
  /** Bytes each second at most; `undefined`: as fast as they come. */
  readonly download: { readonly bytesPerSecond: number | undefined };
  readonly metered: MeteredConfig;
  readonly reboot: RebootConfig;
  /** What comes of an update while the loader never proved that it counts. */
  readonly unprovenLoader: 'warn' | 'refuse';
  /** `keep`: blocks of the slot that already hold the new content are read and not written again. */
  readonly write: { readonly unchanged: 'keep' | 'overwrite' };
}

/** What the reboot into a trial waits for. */
export interface RebootConfig {
  /** How long it waits for those who block shutdowns at logind. */
  readonly inhibitorWaitMs: number;
  /** What comes after that: the reboot all the same, or more waiting. */
  readonly afterWait: 'force' | 'wait';
}

/** What may be fetched unasked over a link that is paid for by the byte. */
export interface MeteredConfig {
  /** `auto`: as NetworkManager says. */
  readonly link: 'auto' | 'metered' | 'unmetered';
  readonly rule: 'full' | 'wait' | 'fail';
  /** Most bytes of an update; `undefined`: whatever is a delta. */
  readonly limitBytes: number | undefined;
}

/** How preparing and writing are tried again. */
export interface RetryConfig {
  /** Tries in all. */
  readonly attempts: number;
  readonly baseMs: number;
  readonly maxMs: number;
}

/** A controller's key and what it may ask for. */
export interface TriggerKeyConfig {
  readonly file: string;
  readonly actions: readonly ('stage' | 'activate')[];
}
