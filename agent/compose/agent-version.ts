import { readFileSync } from 'node:fs';
import { z } from 'zod';

const packageFile = z.object({ version: z.string(), builtAt: z.iso.datetime().optional() });

/** The version in the package.json one folder above `program`, which is one of the sources or was built. */
export function readAgentVersion(program: string): string {
  return readPackage(program).version;
}

/** When it was built, in epoch milliseconds: no time that is earlier is now. `undefined` for sources. */
export function readBuildTime(program: string): number | undefined {
  const { builtAt } = readPackage(program);
  return builtAt === undefined ? undefined : Date.parse(builtAt);
}

function readPackage(program: string): z.infer<typeof packageFile> {
  return packageFile.parse(JSON.parse(readFileSync(new URL('../package.json', program), 'utf8')));
}
