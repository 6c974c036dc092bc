import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CollectedEvidence, EvidenceCollector } from '../core/ports.ts';
import type { BootRecord } from '../core/records.ts';
import type { EvidenceItem, SlotName } from '../core/update-state.ts';
import {
  areAllTriesPowerLoss,
  type FallbackFacts,
  judgeWatchdog,
  type PanicStatus,
  type ResetStatus,
} from './boot-judgement.ts';
import { isMissing, listNewest, readBothEnds, readTail } from './bounded-read.ts';
import { headerOf, lastWordsFirst, notePanics, type SeenRecord, type SeenRecords, wordsOf } from './panic-log.ts';
import { noteReset } from './reset-log.ts';
import type { SystemJournal } from './system-journal.ts';
import { panicSignOf, recordsOfTrial, signsOf, type TrialFacts } from './trial-signs.ts';

const readRecords = 24;
const shownRecords = 3;
const recordHeadBytes = 64;
const recordTailBytes = 4096;
const shownBoots = 8;
const endsLimitBytes = 16 * 1024;

/** The loader's word: what runs, and the slot in trial with its tries. */
export interface LoaderFacts {
  readonly booted: SlotName;
  readonly trial: FallbackFacts['trial'];
}

/** Where evidence is found, and who knows the rest. */
export interface EvidenceSources {
  readonly bootId: string;
  /** The journal's boots, oldest first. */
  readonly boots: () => Promise<readonly BootRecord[]>;
  readonly loader: () => Promise<LoaderFacts>;
  /** `boots-ended` in the state directory: "<boot id> <by whom>" a line; `kaon-boot-ended` writes it. */
  readonly orderlyEndsFile: string;
  readonly resetsFile: string;
  /** Which boot first saw which record of the kernel. */
  readonly panicsFile: string;
  /** Absent where this is not the node's own boot: the system's journal would tell of another machine. */
  readonly systemJournal?: SystemJournal | undefined;
  /** The kernel's records, and where systemd-pstore moves them. */
  readonly pstoreDirectories: readonly string[];
  readonly pstoreBackendFile: string;
  readonly watchdogDirectory: string;
}

/** Collects why earlier boots ended, each source by itself: what can't be read becomes an item that says so. */
export class BootEvidence implements EvidenceCollector {
  readonly #sources: EvidenceSources;

  constructor(sources: EvidenceSources) {
    this.#sources = sources;
  }

  async collect(isFallback: boolean): Promise<CollectedEvidence> {
    const { bootId, resetsFile, panicsFile } = this.#sources;
    const items: EvidenceItem[] = [];
    const attempt = attempts(items);
    const reset = await attempt<ResetStatus>('the watchdog', 'unknown', () => this.#readWatchdog());
    const loader = await attempt('the loader', undefined, this.#sources.loader);
    const boots = await attempt('the boots', [], this.#sources.boots);
    const orderlyEnds = await attempt('the boot ends', new Map<string, string>(), () => this.#readEnds());
    const resets = await attempt<ReadonlyMap<string, ResetStatus>>('the resets', new Map(), () =>
      noteReset(resetsFile, bootId, reset),
    );
    const seen = await attempt<SeenRecords | undefined>('panic records', undefined, async () =>
      notePanics(panicsFile, bootId, await this.#readRecords()),
    );
    const isKept = await attempt('the store of panic records', false, () => this.#hasPanicBackend());
    const trial: TrialFacts = {
      bootId,
      slot: loader?.trial?.slot ?? (loader?.booted === 'a' ? 'b' : 'a'),
      triesUsed: loader?.trial === undefined ? undefined : loader.trial.tries - loader.trial.triesLeft,
      ...{ boots, orderlyEnds, resets },
    };
    const left = recordsOfTrial(seen?.records ?? [], trial);
    const hasUndated = seen === undefined || (seen.isLogNew && seen.records.length > 0);
    const panics: PanicStatus = left.length > 0 || hasUndated ? 'found' : isKept ? 'none' : 'unknown';
    const facts: FallbackFacts = { trial: loader?.trial, panics, bootId, boots, orderlyEnds, resets };
    const isEverySourceRead = items.every(({ kind }) => kind !== 'error');
    items.push(...lastWordsFirst(left).slice(0, shownRecords).map(recordItem), ...describeBoots(facts));
    const journalBoot = isFallback ? await this.#readJournal(trial, items) : undefined;
    return {
      items,
      areAllTriesPowerLoss: isEverySourceRead && areAllTriesPowerLoss(facts),
      signs: signsOf(trial, panicSignOf(left, isKept && !hasUndated), journalBoot),
    };
  }

  async collectInTrial(): Promise<readonly EvidenceItem[]> {
    return (await this.#sources.systemJournal?.ofThisBoot()) ?? [];
  }

  /** Adds what the system's journal has of the boot before this one, where that was a try; resolves to its id. */
  async #readJournal({ boots, slot }: TrialFacts, items: EvidenceItem[]): Promise<string | undefined> {
    const journal = this.#sources.systemJournal;
    if (journal === undefined) return undefined;
    const { bootId, absence } = await journal.previousBoot();
    const say = (text: string) => items.push({ kind: 'journal', name: 'boots before this one', text });
    if (bootId === undefined) {
      say(`the system's journal has none of an earlier boot: ${absence ?? 'it did not say why'}`);
      return undefined;
    }
    if (boots.some((boot) => boot.bootId === bootId && boot.slot !== slot)) {
      say(
        `the system's journal has nothing of the trial: the latest boot in it before this one is not of slot ${slot}`,
      );
      return undefined;
    }
    items.push(...(await journal.excerpt(bootId)));
    return bootId;
  }

  async #readWatchdog(): Promise<ResetStatus> {
    const directory = join(this.#sources.watchdogDirectory, 'watchdog0');
    try {
      const [status, options] = await Promise.all([
        readFile(join(directory, 'bootstatus'), 'utf8'),
        readFile(join(directory, 'options'), 'utf8'),
      ]);
      return judgeWatchdog(status, options);
    } catch (error) {
      // Many nodes have no watchdog: then nothing is known, which is no fault.
      if (isMissing(error)) return 'unknown';
      throw error;
    }
  }

  async #readEnds(): Promise<Map<string, string>> {
    try {
      return parseEnds(await readTail(this.#sources.orderlyEndsFile, endsLimitBytes));
    } catch (error) {
      // Nothing was shut down in order yet.
      if (isMissing(error)) return new Map();
      throw error;
    }
  }

  async #readRecords() {
    const lists = await Promise.all(
      this.#sources.pstoreDirectories.map((directory) => listNewest(directory, readRecords)),
    );
    return Promise.all(
      lists.flat().map(async (file) => {
        const { head, tail } = await readBothEnds(file.path, recordHeadBytes, recordTailBytes);
        return { ...file, text: tail, header: headerOf(head) };
      }),
    );
  }

  async #hasPanicBackend(): Promise<boolean> {
    try {
      const backend = (await readFile(this.#sources.pstoreBackendFile, 'utf8')).trim();
      return backend !== '' && backend !== '(null)';
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }
}

/** Runs an action whose failure becomes an item. */
function attempts(items: EvidenceItem[]) {
  return async <T>(name: string, fallback: T, read: () => Promise<T>): Promise<T> => {
    try {
      return await read();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      items.push({ kind: 'error', name, text: `cannot read ${name}: ${text}`.slice(0, 500) });
      return fallback;
    }
  };
}

function recordItem(record: SeenRecord): EvidenceItem {
  const writtenAt = new Date(record.changedAtMs).toISOString();
  return { kind: 'pstore', name: record.path, text: `${writtenAt} ${wordsOf(record)}` };
}

/** In the order of the file. The first line of a boot stands: the guard's own comes before that of the shutdown which it starts. */
function parseEnds(text: string): Map<string, string> {
  const ends = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, id, by] = /^([0-9a-zA-Z-]{1,64})(?: ([a-z-]{1,32}))?$/.exec(line) ?? [];
    if (id !== undefined && !ends.has(id)) ends.set(id, by ?? 'shutdown');
  }
  return ends;
}

function describeBoots({ bootId, boots, orderlyEnds, resets }: FallbackFacts): readonly EvidenceItem[] {
  const lines = boots.slice(-shownBoots).map((boot) => {
    const by = orderlyEnds.get(boot.bootId) ?? (boot.isEndedCleanly ? 'shutdown' : undefined);
    const ending = boot.bootId === bootId ? 'running' : by === undefined ? 'ended abruptly' : `ended in order by ${by}`;
    return `${boot.bootId.slice(0, 8)} slot ${boot.slot}: ${ending}; began with reset ${resets.get(boot.bootId) ?? 'unknown'}`;
  });
  const reset: EvidenceItem = { kind: 'boots', name: 'reset', text: `this boot: ${resets.get(bootId) ?? 'unknown'}` };
  return lines.length === 0 ? [reset] : [reset, { kind: 'boots', name: 'latest boots', text: lines.join('\n') }];
}
