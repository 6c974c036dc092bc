import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Bootloader } from '../../bootloader/bootloader.ts';
import { createEnvironment, DurableFile } from '../../bootloader/durable-file.ts';
import { parseFwEnvConfig } from '../../bootloader/fw-env-config.ts';
import { GrubBootloader } from '../../bootloader/grub.ts';
import { RegionFile } from '../../bootloader/region-file.ts';
import { DiskFile } from '../../bootloader/disk-file.ts';
import { EfiBootloader } from '../../bootloader/efi-boot.ts';
import { SysfsLoaderPlaces } from '../../bootloader/efi-places.ts';
import { Efivarfs } from '../../bootloader/efivarfs.ts';
import { GptBootloader } from '../../bootloader/gpt.ts';
import { TrybootBootloader } from '../../bootloader/tryboot.ts';
import { ProcTrybootFacts } from '../../bootloader/tryboot-facts.ts';
import { UbootBootloader } from '../../bootloader/uboot.ts';
import { parseInitialEnvironment } from '../../bootloader/ubootenv.ts';
import type { BootloaderConfig, GrubConfig, SystemdBootConfig, UbootConfig } from '../config/config.ts';
import { AgentError } from '../core/errors.ts';
import { ProcessCommandRunner } from '../host/process-command-runner.ts';
import { withoutServiceVariables } from '../host/service-environment.ts';
import type { SlotName } from '../core/update-state.ts';

const textLimitBytes = 64 * 1024;

type BootNames = Readonly<Record<SlotName, string>>;

/**
 * The adapter of a configured loader that reads the slots itself; its locks lie in `runtimeDir`. Rejects with `boot-env-write-failed`,
 * `boot-env-unreadable` or `bootloader-unsupported`.
 */
export async function buildBootloader(
  config: Exclude<BootloaderConfig, SystemdBootConfig>,
  bootNames: BootNames,
  runtimeDir: string,
): Promise<Bootloader> {
  switch (config.type) {
    case 'grub':
      return buildGrub(config, bootNames, runtimeDir);
    case 'uboot':
      return buildUboot(config, bootNames, runtimeDir);
    case 'gpt':
      return new GptBootloader(await DiskFile.open(config.disk, join(runtimeDir, 'disk.lock')), config.partitions);
    case 'tryboot':
      return new TrybootBootloader(
        new DurableFile(config.file, join(runtimeDir, 'autoboot.lock')),
        new ProcTrybootFacts(),
        config.partitions,
      );
    case 'efi':
      return new EfiBootloader(
        new Efivarfs(new ProcessCommandRunner(withoutServiceVariables(process.env)), join(runtimeDir, 'efivars.lock')),
        config.entries,
        config.loaders && new SysfsLoaderPlaces(config.loaders),
      );
  }
}

async function buildGrub(config: GrubConfig, bootNames: BootNames, runtimeDir: string): Promise<Bootloader> {
  const file = (path: string, name: string) => new DurableFile(path, join(runtimeDir, `${name}.lock`));
  const shadow = await findShadow(config);
  return new GrubBootloader(
    file(config.environment, 'environment'),
    shadow === undefined ? undefined : file(shadow, 'shadow'),
    { dialect: config.dialect, bootNames, tries: config.tries },
  );
}

/** The shadow that grub.cfg reads; one that the configuration names is made where it is missing. */
async function findShadow({ dialect, environment, shadow }: GrubConfig): Promise<string | undefined> {
  const path = shadow ?? (dialect === 'kaon' ? join(dirname(environment), 'grubenv.kaon') : undefined);
  if (path === undefined) return undefined;
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere) return path;
  if (shadow === undefined) return undefined;
  await createEnvironment(shadow);
  return shadow;
}

async function buildUboot(config: UbootConfig, bootNames: BootNames, runtimeDir: string): Promise<Bootloader> {
  const { environment, dialect, tries, slotVariable, flags, isSingleCopyAllowed, defaults } = config;
  const regions = parseFwEnvConfig(await readText(environment));
  const lock = join(runtimeDir, 'environment.lock');
  const [first, second] = regions.map((region) => new RegionFile(region, lock));
  if (first === undefined) {
    throw new AgentError('bootloader-unsupported', `cannot drive U-Boot: ${environment} names no environment`);
  }
  return new UbootBootloader(second === undefined ? [first] : [first, second], {
    sizeBytes: regions[0]?.sizeBytes ?? 0,
    layout: { dialect, bootNames, tries, slotVariable },
    flags,
    allowSingleCopy: isSingleCopyAllowed,
    ...(defaults === undefined ? {} : { defaults: parseInitialEnvironment(await readText(defaults)) }),
  });
}

async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('boot-env-unreadable', `cannot read ${path}: ${reason}`, { details: { path }, cause });
  });
  if (bytes.byteLength > textLimitBytes) {
    throw new AgentError('boot-env-unreadable', `cannot read ${path}: it has more than ${textLimitBytes} bytes`);
  }
  return bytes.toString('utf8');
}
