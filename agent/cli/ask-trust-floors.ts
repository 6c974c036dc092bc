import type { ApiClient } from './client.ts';
import { CliError } from './exit-codes.ts';

/** What a node knows beside its files, and a trust decision depends on. */
export interface TrustFloors {
  /** When this kaon was built, in epoch milliseconds; `undefined` where it runs from its sources. */
  readonly buildMs: number | undefined;
  /** The latest attested time of a signature that kaond verified; `undefined` where there was none or it is not known. */
  readonly signedMs: number | undefined;
  /** The repository whose rule each image has to fulfil; `undefined` where there is none or it is not known. */
  readonly followed: string | undefined;
  /** Why kaond said nothing of the last two; `undefined` where it did. */
  readonly silence: { readonly code: string; readonly message: string } | undefined;
}

/** Asks kaond for what only it knows; a kaond that does not answer is told, and no failure. */
export async function askTrustFloors(api: ApiClient, buildMs: number | undefined): Promise<TrustFloors> {
  try {
    const { trust } = (await api.status()).value;
    const signedMs = trust?.signedAt === undefined ? undefined : Date.parse(trust.signedAt);
    const isTime = signedMs !== undefined && !Number.isNaN(signedMs);
    return { buildMs, signedMs: isTime ? signedMs : undefined, followed: trust?.followed, silence: undefined };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const { code, message } = error;
    return { buildMs, signedMs: undefined, followed: undefined, silence: { code, message } };
  }
}

/** What the time of a decision can't be before, in words. */
export function describeFloors({ buildMs, signedMs, silence }: TrustFloors): string {
  const known = [
    ...(buildMs === undefined ? [] : [`${new Date(buildMs).toISOString()}, when kaon was built`]),
    ...(signedMs === undefined
      ? []
      : [`${new Date(signedMs).toISOString()}, when the latest image that kaond verified was signed`]),
    ...(silence === undefined ? [] : [`what kaond verified is not known (${silence.code})`]),
  ];
  return known.length === 0 ? 'nothing that is known' : known.join('; ');
}

/** The same as JSON. */
export function floorsAsJson({ buildMs, signedMs, followed, silence }: TrustFloors) {
  return {
    ...(buildMs === undefined ? {} : { builtAt: new Date(buildMs).toISOString() }),
    ...(signedMs === undefined ? {} : { signedAt: new Date(signedMs).toISOString() }),
    ...(followed === undefined ? {} : { followed }),
    ...(silence === undefined ? {} : { unknown: silence }),
  };
}
