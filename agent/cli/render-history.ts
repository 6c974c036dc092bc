import { rollbackCodes } from '../core/endings.ts';
import type { EventAnswer, KnownBadAnswer, RollbackAnswer, UpdateAnswer } from './answers.ts';
import { formatBytes, formatTime, printable, printableLines } from './format-values.ts';
import { renderPairs, renderTable } from './render-table.ts';
import { reusedText } from './render-transfer.ts';

/** Updates, newest first. */
export function renderHistory(updates: readonly UpdateAnswer[]): string {
  if (updates.length === 0) return 'no update yet\n';
  return renderTable(
    ['ID', 'KIND', 'REQUESTED', 'BY', 'RESULT', 'CODE', 'FETCHED', 'REUSED', 'IMAGE'],
    updates.map(({ request, outcome, phase, transfer }) => [
      request.id,
      request.kind,
      formatTime(request.requestedAt),
      request.requestedBy,
      outcome?.result ?? phase,
      outcome?.code ?? '',
      transfer === undefined ? '' : formatBytes(transfer.fetchedBytes),
      transfer === undefined ? '' : reusedText(transfer),
      request.image,
    ]),
  );
}

/** Rollbacks, newest first, each with its evidence. */
export function renderRollbacks(rollbacks: readonly RollbackAnswer[]): string {
  return rollbacks.length === 0 ? 'no rollback yet\n' : rollbacks.map(renderRollback).join('\n');
}

/** One rollback with all its evidence: what each check, the loader and the kernel said. */
export function renderRollback(rollback: RollbackAnswer): string {
  const head = renderPairs([
    ['rollback', rollback.id],
    ['update', rollback.updateId],
    ['at', formatTime(rollback.at)],
    ['slot', rollback.slot],
    ['image', rollback.image],
    ['digest', rollback.digest],
    ['kind', kindText(rollback)],
    ['reason', reasonText(rollback.reason)],
    ['tries', triesText(rollback)],
    ['checks', rollback.checks?.join(', ')],
    ['message', rollback.message],
  ]);
  const evidence = rollback.evidence.map(
    ({ kind, name, text }) => `\n${printable(kind)} ${printable(name)}:\n${printableLines(text, '  | ')}\n`,
  );
  return `${head}${evidence.length === 0 ? '\nno evidence was found\n' : evidence.join('')}`;
}

function kindText({ kind, isInconclusive }: RollbackAnswer): string | undefined {
  return isInconclusive === true ? `${kind ?? 'unknown'}, which says nothing of the image` : kind;
}

function triesText({ tries }: RollbackAnswer): string | undefined {
  return tries === undefined ? undefined : `${tries.used} of ${tries.armed} used`;
}

/** The reason, and the code that the update ended with. */
function reasonText(reason: string): string {
  const codes: Readonly<Record<string, string>> = rollbackCodes;
  const code = Object.hasOwn(codes, reason) ? codes[reason] : undefined;
  return code === undefined || code === reason ? reason : `${reason} (${code})`;
}

/** The images that are not tried again. */
export function renderKnownBad(entries: readonly KnownBadAnswer[]): string {
  if (entries.length === 0) return 'no image is known to be bad\n';
  return renderTable(
    ['AT', 'REASON', 'UPDATE', 'DIGEST'],
    entries.map((entry) => [formatTime(entry.at), entry.reason, entry.updateId, entry.digest]),
  );
}

/** One event in one line. */
export function renderEvent(event: EventAnswer): string {
  const { sequence, kind, message, updateId } = event;
  const about = updateId === undefined ? '' : ` [${printable(updateId)}]`;
  return `${sequence} ${formatTime(event.at)} ${printable(kind)}${about} ${printable(message)}\n`;
}
