import { statfs } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { cpuTemperature, mem } from 'systeminformation';
import type { MeasuredHost } from './host-readings.ts';

const { paths } = workerData as { readonly paths: readonly string[] };

const [memory, temperature, disks] = await Promise.all([
  mem(),
  cpuTemperature(),
  Promise.all(paths.map(async (path) => [path, await roomAt(path)] as const)),
]);

const measured: MeasuredHost = {
  disks: Object.fromEntries(disks),
  memoryAvailableBytes: memory.available,
  temperatureCelsius: warmest([temperature.max, temperature.main]),
};

parentPort?.postMessage(measured);

async function roomAt(path: string): Promise<MeasuredHost['disks'][string]> {
  try {
    const { bsize, bavail } = await statfs(path);
    return { availableBytes: bsize * bavail };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The library says null, or -1, where there is no sensor. */
function warmest(found: readonly (number | null)[]): number | undefined {
  const known = found.filter((celsius) => typeof celsius === 'number' && celsius > 0) as readonly number[];
  return known.length === 0 ? undefined : Math.max(...known);
}
