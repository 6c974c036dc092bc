import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EvidenceCollector } from '../core/ports.ts';
import type { BootRecord } from '../core/records.ts';
import type { EvidenceItem } from '../core/update-state.ts';
import {
  areAllTriesPowerLoss,
  type FallbackFacts,
  judgeWatchdog,
  type PanicStatus,
  type ResetStatus,
} from './boot-judgement.ts';
import { isMissing, listNewest, readTail } from './bounded-read.ts';
import { noteReset } from './reset-log.ts';

const shownPanics = 3;
const panicTailBytes = 1536;
const shownBoots = 8;
const endsLimitBytes = 16 * 1024;

/** Where evidence is found, and who knows the rest. */
export interface EvidenceSources {
  readonly bootId: string;
  /** The journal's boots, oldest first. */
  readonly boots: () => Promise<readonly BootRecord[]>;
  /** The loader's word on the slot in trial. */
  readonly trial: () => Promise<FallbackFacts['trial']>;
  /** `boots-ended` in the state directory: "<boot id> <by whom>" a line; `kaon-boot-ended` writes it. */
  readonly orderlyEndsFile: string;
  readonly resetsFile: string;
  /** The kernel's records, and where systemd-pstore moves them. */
  readonly pstoreDirectories?: readonly string[];
  readonly pstoreBackendFile?: string;
  readonly watchdogDirectory?: string;
}

/** Collects why earlier boots ended, each source by itself: what can't be read becomes an item that says so. */
export class BootEvidence implements EvidenceCollector {
  readonly #sources: EvidenceSources;

  constructor(sources: EvidenceSources) {
    this.#sources = sources;
  }

  async collect(
    sinceMs: number,
  ): Promise<{ readonly items: readonly EvidenceItem[]; readonly areAllTriesPowerLoss: boolean }> {
    const items: EvidenceItem[] = [];
    const attempt = async <T>(name: string, fallback: T, read: () => Promise<T>): Promise<T> => {
      try {
        return await read();
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        items.push({ kind: 'error', name, text: `cannot read ${name}: ${text}`.slice(0, 500) });
        return fallback;
      }
    };
    const reset = await attempt<ResetStatus>('the watchdog', 'unknown', () => this.#readWatchdog());
    const facts: FallbackFacts = {
      bootId: this.#sources.bootId,
      trial: await attempt('the loader', undefined, this.#sources.trial),
      boots: await attempt('the boots', [], this.#sources.boots),
      orderlyEnds: await attempt('the boot ends', new Map<string, string>(), () => this.#readEnds()),
      resets: await attempt('the resets', new Map<string, ResetStatus>(), () =>
        noteReset(this.#sources.resetsFile, this.#sources.bootId, reset),
      ),
      panics: await attempt<PanicStatus>('panic records', 'unknown', () => this.#readPanics(sinceMs, items)),
    };
    items.push(...describeBoots(facts));
    const isEverySourceRead = items.every(({ kind }) => kind !== 'error');
    return { items, areAllTriesPowerLoss: isEverySourceRead && areAllTriesPowerLoss(facts) };
  }

  async #readWatchdog(): Promise<ResetStatus> {
    const directory = join(this.#sources.watchdogDirectory ?? '/sys/class/watchdog', 'watchdog0');
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

  async #readPanics(sinceMs: number, items: EvidenceItem[]): Promise<PanicStatus> {
    const directories = this.#sources.pstoreDirectories ?? ['/sys/fs/pstore', '/var/lib/systemd/pstore'];
    const lists = await Promise.all(directories.map((directory) => listNewest(directory, shownPanics)));
    const found = lists.flat().filter(({ changedAtMs }) => changedAtMs >= sinceMs);
    for (const { path, changedAtMs } of found.slice(0, shownPanics)) {
      const text = `${new Date(changedAtMs).toISOString()} ${await readTail(path, panicTailBytes)}`;
      items.push({ kind: 'pstore', name: path, text });
    }
    if (found.length > 0) return 'found';
    return (await this.#hasPanicBackend()) ? 'none' : 'unknown';
  }

  async #hasPanicBackend(): Promise<boolean> {
    try {
      const path = this.#sources.pstoreBackendFile ?? '/sys/module/pstore/parameters/backend';
      const backend = (await readFile(path, 'utf8')).trim();
      return backend !== '' && backend !== '(null)';
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }
}

/** The first line of a boot stands: the guard's own comes before that of the shutdown which it starts. */
function parseEnds(text: string): Map<string, string> {
  const pairs = text.split('\n').flatMap((line): [string, string][] => {
    const [, id, by] = /^([0-9a-zA-Z-]{1,64})(?: ([a-z-]{1,32}))?$/.exec(line) ?? [];
    return id === undefined ? [] : [[id, by ?? 'shutdown']];
  });
  return new Map(pairs.reverse());
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
