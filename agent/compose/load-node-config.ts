import type { KaonConfig } from '../config/config.ts';
import { loadLastGoodConfig, saveLastGoodConfig } from '../config/last-good-config.ts';
import { type ConfigFiles, readConfigTexts } from '../config/load-config.ts';
import { parseConfig } from '../config/parse-config.ts';
import { type ErrorReport, reportOf } from '../core/errors.ts';

/** The configuration that a process runs by. */
export interface NodeConfig {
  /** `undefined`: neither the files nor a copy of earlier ones can be used. */
  readonly config: KaonConfig | undefined;
  /** Why the files can't be used; `config` is then that of the last time they could. */
  readonly fault: ErrorReport | undefined;
}

/**
 * Loads the configuration, and keeps a copy of it in `copyDirectory` for the day when it can't be read: a process that
 * does not know its slots could neither end a trial nor say what is wrong. `onProblem` hears why no copy could be kept.
 */
export async function loadNodeConfig(
  files: ConfigFiles,
  copyDirectory: string,
  agentVersion: string,
  onProblem: (error: unknown) => void,
): Promise<NodeConfig> {
  try {
    const texts = await readConfigTexts(files);
    const config = parseConfig(texts);
    await saveLastGoodConfig(copyDirectory, agentVersion, texts).catch(onProblem);
    return { config, fault: undefined };
  } catch (error) {
    return { config: await loadLastGoodConfig(copyDirectory, agentVersion), fault: reportOf(error) };
  }
}
