import { AgentError, type ErrorReport, reportOf } from '../core/errors.ts';
import { sightingKind, withSighting } from '../core/loader-proof.ts';
import type { Clock, SlotService } from '../core/ports.ts';
import type { FactsKeeper } from './facts-keeper.ts';
import type { Started } from './start.ts';

interface LoaderTestPorts {
  readonly slots: SlotService;
  readonly facts: FactsKeeper;
  readonly clock: Clock;
  readonly bootId: string;
  /** The configured loader, with its dialect. */
  readonly loader: string;
}

/** What the boot that runs showed of the loader, by a test that an operator asked for; `error`: it could not be told. */
export type LoaderTestResult = { readonly hasCounted: boolean | undefined } | { readonly error: ErrorReport };

/**
 * Records what the boot that runs showed of the loader, and ends a test that an earlier boot began. Resolves to the
 * result of that test, `undefined` without one. Never rejects: what failed is done again at the next start.
 */
export async function settleLoader(ports: LoaderTestPorts, started: Started): Promise<LoaderTestResult | undefined> {
  const { facts, bootId } = ports;
  if (started.node === undefined || facts.isLost) return undefined;
  const test = facts.data.loaderTest;
  try {
    await recordBoot(ports, started);
    return test === undefined || test.bootId === bootId ? undefined : await endTest(ports, started);
  } catch (error) {
    return { error: reportOf(error) };
  }
}

async function recordBoot(ports: LoaderTestPorts, { node, hasLoaderCounted: hasCounted }: Started): Promise<void> {
  if (node === undefined || hasCounted === undefined) return;
  const sighting = { loader: ports.loader, hasCounted, by: sightingKind(node), atMs: ports.clock.nowMs() };
  await ports.facts.change((data) => withSighting(data, sighting));
}

async function endTest(
  { facts, slots, clock, loader }: LoaderTestPorts,
  started: Started,
): Promise<LoaderTestResult | undefined> {
  let result: LoaderTestResult | undefined;
  if (facts.data.loaderTest?.isSettled === false) {
    const hasCounted = (await slots.readLoaderTest()) ?? started.hasLoaderCounted;
    result = { hasCounted };
    // Recorded before the mark is removed: power lost here removes it at the next start, and keeps the result.
    await facts.change((data) => {
      const seen =
        hasCounted === undefined
          ? data
          : withSighting(data, { loader, hasCounted, by: 'self-test', atMs: clock.nowMs() });
      return data.loaderTest === undefined ? seen : { ...seen, loaderTest: { ...data.loaderTest, isSettled: true } };
    });
  }
  await slots.clearLoaderTest();
  await facts.change((data) => ({ ...data, loaderTest: undefined }));
  return result;
}

/**
 * Begins a test of the loader, which the next reboot for it ends. Durable when it resolves. Rejects with `facts-lost`
 * where its result could not be kept, and with the codes of `armLoaderTest` and the facts.
 */
export async function beginLoaderTest({ slots, facts, clock, bootId }: Omit<LoaderTestPorts, 'loader'>): Promise<void> {
  if (facts.isLost) {
    throw new AgentError('facts-lost', 'cannot test the loader: the security facts, which keep its result, are lost');
  }
  // The mark first: a test that is recorded and has no mark would be taken for one that failed. Power lost in between
  // leaves a mark that the next test or activation writes over.
  await slots.armLoaderTest();
  await facts.change((data) => ({ ...data, loaderTest: { bootId, atMs: clock.nowMs(), isSettled: false } }));
}
