import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ConfiguredChecks } from '../checkd/server.ts';
import { type ConfigFiles, readConfigTexts } from '../config/load-config.ts';
import { parseConfig } from '../config/parse-config.ts';
import { AgentError } from '../core/errors.ts';
import type { CheckSettings } from '../health/create-checks.ts';

const writableByOthers = 0o022;

/**
 * Reads the configuration each time that it is called, and makes its checks anew where it changed. The function rejects with
 * `config-invalid`, too, where others than root or this process's own user may write one of the files or its folder: what is
 * run by it would be of their choosing.
 */
export function checkLoader(
  files: ConfigFiles,
  make: (settings: readonly CheckSettings[]) => ConfiguredChecks,
): () => Promise<ConfiguredChecks> {
  let last: { readonly text: string; readonly made: ConfiguredChecks } | undefined;
  return async () => {
    const texts = await readConfigTexts(files);
    const paths = [texts.image, ...texts.node].flatMap((text) => (text === undefined ? [] : [text.path]));
    for (const path of new Set([...paths, ...paths.map((one) => dirname(one))])) await refuseUntrusted(path);
    const text = JSON.stringify(texts);
    if (last?.text !== text) last = { text, made: make(parseConfig(texts).health.checks) };
    return last.made;
  };
}

async function refuseUntrusted(path: string): Promise<void> {
  const { uid, mode } = await stat(path);
  const isOwned = uid === 0 || uid === process.getuid?.();
  if (isOwned && (mode & writableByOthers) === 0) return;
  const found = `its owner is ${uid}, its mode ${(mode & 0o7777).toString(8)}`;
  const message = `cannot run checks by ${path}: others than root may write it (${found}); chown root, chmod go-w`;
  throw new AgentError('config-invalid', message, { details: { path } });
}
