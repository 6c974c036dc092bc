import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { KaonConfig } from '../config/config.ts';
import { AgentError, type ErrorReport, reportOf } from '../core/errors.ts';
import type { Journal } from '../core/ports.ts';
import { FactsFile } from '../store/facts-file.ts';
import { SqliteJournal } from '../store/sqlite-journal.ts';
import { prepareStateDirectory } from '../store/state-directory.ts';
import { UnavailableJournal } from '../store/unavailable-journal.ts';
import { FactsKeeper } from '../update/facts-keeper.ts';

/** The agent's state on disk. */
export interface OpenedState {
  readonly journal: Journal;
  readonly facts: FactsKeeper;
  /** Why parts of it can't be used. */
  readonly faults: readonly ErrorReport[];
  /** There was no state at all: a new node, or a data partition that is not mounted. */
  readonly wasEmpty: boolean;
  readonly close: () => void;
}

/** Opens the state directory; what can't be used becomes a fault. Never rejects. */
export async function openState(config: KaonConfig): Promise<OpenedState> {
  const { stateDir } = config;
  const faults: ErrorReport[] = [];
  const attempt = async (action: () => Promise<void>) => {
    await action().catch((error: unknown) => faults.push(reportOf(error)));
  };
  const journalFile = join(stateDir, 'journal.db');
  const traces = ['facts.0', 'facts.1', 'facts.exist'].map((name) => join(stateDir, name));
  const wasEmpty = ![journalFile, ...traces].some((path) => existsSync(path));
  await attempt(async () => prepareStateDirectory(stateDir, await slotDeviceNumbers(config)));
  const { journal, fault, close } = openJournal(journalFile, traces);
  if (fault !== undefined) faults.push(fault);
  const facts = new FactsKeeper(new FactsFile(stateDir));
  await attempt(() => facts.load());
  return { journal, facts, faults, wasEmpty, close };
}

function openJournal(
  path: string,
  expectedBeside: readonly string[],
): { readonly journal: Journal; readonly fault?: ErrorReport; readonly close: () => void } {
  try {
    const journal = new SqliteJournal({ path, expectedBeside });
    return { journal, close: () => journal.close() };
  } catch (error) {
    const fault = reportOf(error);
    const reason = error instanceof AgentError ? error : new AgentError(fault.code, fault.message, { cause: error });
    return { journal: new UnavailableJournal(reason), fault, close: () => undefined };
  }
}

/** Where devices are hidden from the agent, as its unit does, kaon-slotd looks at the same. */
async function slotDeviceNumbers({ slots }: KaonConfig): Promise<readonly number[]> {
  const devices = [slots.a, slots.b].flatMap(({ partitions }) => Object.values(partitions));
  const found = await Promise.all(devices.map(({ device }) => stat(device).catch(() => undefined)));
  return found.filter((stats) => stats?.isBlockDevice() === true).map((stats) => stats?.rdev ?? 0);
}
