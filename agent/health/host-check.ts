import type { HostProbe, HostReadings } from '../core/ports.ts';
import type { CheckAttempt, HealthCheck } from './health-check.ts';

/** What the host has to be; what is left out is not looked at. */
export interface HostSettings {
  readonly freeDisk: readonly { readonly path: string; readonly minBytes: number }[];
  readonly memoryMinBytes: number | undefined;
  readonly temperatureMaxCelsius: number | undefined;
  readonly isTimeSynchronised: boolean;
  readonly hasDefaultRoute: boolean;
}

/** Passes when the host has the room, memory, temperature, clock and route that are wanted. */
export class HostCheck implements HealthCheck {
  readonly name: string;
  readonly isRequired: boolean;
  readonly #settings: HostSettings;
  readonly #probe: HostProbe;

  constructor(name: string, isRequired: boolean, settings: HostSettings, probe: HostProbe) {
    this.name = name;
    this.isRequired = isRequired;
    this.#settings = settings;
    this.#probe = probe;
  }

  async run(signal: AbortSignal): Promise<CheckAttempt> {
    const paths = this.#settings.freeDisk.map(({ path }) => path);
    const found = await this.#probe.read(paths, signal).catch((error: unknown) => error);
    return isReadings(found)
      ? judgeHost(this.#settings, found)
      : { isPassed: false, output: `cannot read the host: ${found instanceof Error ? found.message : String(found)}` };
  }
}

function isReadings(found: unknown): found is HostReadings {
  return typeof found === 'object' && found !== null && 'disks' in found;
}

/** Holds `found` against what is wanted; what can't be told fails. */
export function judgeHost(settings: HostSettings, found: HostReadings): CheckAttempt {
  const said = [
    ...settings.freeDisk.map(({ path, minBytes }) => diskOf(path, minBytes, found)),
    ...memoryOf(settings, found),
    ...temperatureOf(settings, found),
    ...(settings.isTimeSynchronised ? [timeOf(found)] : []),
    ...(settings.hasDefaultRoute ? [routeOf(found)] : []),
  ];
  const wrong = said.filter(({ isWell }) => !isWell);
  return { isPassed: wrong.length === 0, output: (wrong.length > 0 ? wrong : said).map(({ text }) => text).join('; ') };
}

interface Said {
  readonly isWell: boolean;
  readonly text: string;
}

function diskOf(path: string, minBytes: number, { disks }: HostReadings): Said {
  const disk = disks[path];
  if (typeof disk !== 'object')
    return { isWell: false, text: `the room at ${path} is not known: ${disk ?? 'no answer'}` };
  const isWell = disk.availableBytes >= minBytes;
  return {
    isWell,
    text: `${mebibytes(disk.availableBytes)} free at ${path}${isWell ? '' : `, want ${mebibytes(minBytes)}`}`,
  };
}

function memoryOf(
  { memoryMinBytes: min }: HostSettings,
  { memoryAvailableBytes: found }: HostReadings,
): readonly Said[] {
  if (min === undefined) return [];
  const isWell = found >= min;
  return [{ isWell, text: `${mebibytes(found)} of memory available${isWell ? '' : `, want ${mebibytes(min)}`}` }];
}

function temperatureOf(
  { temperatureMaxCelsius: max }: HostSettings,
  { temperatureCelsius: found }: HostReadings,
): readonly Said[] {
  if (max === undefined) return [];
  if (found === undefined) return [{ isWell: false, text: 'no sensor tells the temperature' }];
  const isWell = found <= max;
  return [{ isWell, text: `${found} °C${isWell ? '' : `, want at most ${max} °C`}` }];
}

function timeOf({ timeSynchronised }: HostReadings): Said {
  if (typeof timeSynchronised === 'string') return { isWell: false, text: timeSynchronised };
  return { isWell: timeSynchronised, text: `the clock follows ${timeSynchronised ? 'a' : 'no'} time source` };
}

function routeOf({ hasDefaultRoute }: HostReadings): Said {
  return { isWell: hasDefaultRoute, text: `there is ${hasDefaultRoute ? 'a' : 'no'} default route` };
}

function mebibytes(sizeBytes: number): string {
  return `${Math.floor(sizeBytes / 1024 ** 2)} MiB`;
}
