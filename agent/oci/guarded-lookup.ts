import { lookup, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { localityOf } from './redirect.ts';

/** Tells that a name leads to an address that a registry may not lead to. */
class ForbiddenAddressError extends Error {
  readonly code = forbiddenAddress;

  constructor(hostname: string) {
    super(`the name ${hostname} stands for an address of this node itself or of its link`);
    this.name = 'ForbiddenAddressError';
  }
}

/** The code of connections that were not made for what their host's name stands for. */
export const forbiddenAddress = 'FORBIDDEN_ADDRESS';

function localitiesOf(found: string | readonly LookupAddress[]): readonly ReturnType<typeof localityOf>[] {
  const addresses = typeof found === 'string' ? [found] : found.map(({ address }) => address);
  return addresses.map((address) => {
    const isIpv6 = address.includes(':');
    // A URL spells an address in one way; without its zone, which no URL has.
    const url = URL.parse(`http://${isIpv6 ? `[${address.split('%')[0] ?? ''}]` : address}`);
    return localityOf(url?.hostname ?? '');
  });
}

/**
 * Names are looked up here for one registry, so that it can't lead to this node by a name: `foreign` gives no address of
 * the link, and none of loopback unless the registry's own name stands for one.
 */
export class GuardedLookup {
  readonly #lookup: LookupFunction;
  #isOwnLoopback: boolean;

  /** `ownHost` as a URL spells it. */
  constructor(ownHost: string, system: LookupFunction = lookup) {
    this.#lookup = system;
    this.#isOwnLoopback = localityOf(ownHost) === 'loopback';
  }

  /** For the registry's own origin: whatever its name stands for is what the operator wrote. */
  readonly own: LookupFunction = (hostname, options, callback) => {
    this.#lookup(hostname, options, (error, address, family) => {
      if (error === null) this.#isOwnLoopback = localitiesOf(address).includes('loopback');
      callback(error, address, family);
    });
  };

  /** For where it leads. */
  readonly foreign: LookupFunction = (hostname, options, callback) => {
    this.#lookup(hostname, options, (error, address, family) => {
      const isForbidden =
        error === null &&
        localitiesOf(address).some(
          (locality) => locality === 'link-local' || (locality === 'loopback' && !this.#isOwnLoopback),
        );
      if (isForbidden) callback(new ForbiddenAddressError(hostname), '', 0);
      else callback(error, address, family);
    });
  };
}
