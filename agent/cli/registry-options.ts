import type { Command } from 'commander';
import { parseReference, type Reference } from '../core/image-format/reference.ts';
import type { AccessPorts, RegistryAccess } from '../image/registry-access.ts';
import type { Invocation } from './invocation.ts';

/** How a registry is reached, as options say it. */
export interface RegistryOptions {
  readonly authFile?: string;
  readonly caFile?: string;
  readonly insecureHttp?: boolean;
}

/** Adds the options of a command that talks to a registry. */
export function withRegistryOptions(command: Command): Command {
  return command
    .option('--auth-file <file>', 'credentials, as skopeo and docker keep them (default: $REGISTRY_AUTH_FILE)')
    .option('--ca-file <file>', 'PEM certificates that are trusted beside the public ones')
    .option('--insecure-http', 'plain HTTP, for registries on a trusted network alone');
}

/** The access that the options describe. */
export function accessOf({ options, io }: Invocation<RegistryOptions>): RegistryAccess {
  const fromEnvironment = io.environment['REGISTRY_AUTH_FILE'];
  return {
    authFile: options.authFile ?? (fromEnvironment === '' ? undefined : fromEnvironment),
    caFile: options.caFile,
    isInsecureHttp: options.insecureHttp === true,
    proxy: undefined,
  };
}

/** What registries are reached with. */
export function portsOf({ io, deps }: Invocation<object>): AccessPorts {
  return { clock: io.clock, random: deps.random, platform: deps.platform };
}

/** The reference at argument `index`. Throws `reference-invalid`. */
export function referenceAt(invocation: Invocation<object>, index: number): Reference {
  return parseReference(invocation.argument(index));
}
