import { readFileSync } from 'node:fs';
import { z } from 'zod';

const packageFile = z.object({ version: z.string() });

/** The version in the package.json one folder above `program`, which is one of the sources or was built. */
export function readAgentVersion(program: string): string {
  return packageFile.parse(JSON.parse(readFileSync(new URL('../package.json', program), 'utf8'))).version;
}
