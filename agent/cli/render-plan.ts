import { errorTable, isErrorCode } from '../core/errors.ts';
import type { PlanAnswer } from './answers.ts';
import { formatBytes, printable } from './format-values.ts';
import { provenanceText } from './render-status.ts';
import { renderPairs, renderTable } from './render-table.ts';

/** What an update would do, and what stands in its way. */
export function renderPlan(plan: PlanAnswer): string {
  const head = renderPairs([
    ['image', plan.image],
    ['digest', plan.digest],
    ['release', `${plan.name} ${plan.version}`],
    ['trusted by', `rule ${plan.trust.rule}, signed with ${plan.trust.keyIds.join(', ')}`],
    ['', plan.trust.provenance && provenanceText(plan.trust.provenance)],
    ['slot', plan.slot],
    // What the slots hold already is found only while the slot is written.
    ['download', `${formatBytes(plan.downloadBytes)} at most`],
    ['write', plan.writeBytes === undefined ? 'not stated by the image' : formatBytes(plan.writeBytes)],
  ]);
  const partitions = renderTable(
    ['PARTITION', 'FULL', 'BY INDEX', 'BY PATCH', 'TAKEN', 'CONTENT', 'ROOM'],
    plan.partitions.map(({ name, layerSizeBytes, contentSizeBytes, partitionSizeBytes, ways }) => [
      name,
      formatBytes(layerSizeBytes),
      sizeText(ways?.indexBytes),
      sizeText(ways?.patchBytes),
      ways === undefined ? '' : printable(ways.way),
      sizeText(contentSizeBytes),
      formatBytes(partitionSizeBytes),
    ]),
  );
  const warnings = plan.warnings.map((warning) => `warning: ${printable(warning)}\n`).join('');
  return `${head}\n${partitions}\n${warnings}${verdictText(plan)}`;
}

function sizeText(sizeBytes: number | undefined): string {
  return sizeBytes === undefined ? '' : formatBytes(sizeBytes);
}

function verdictText({ isAlreadyRunning, blockers }: PlanAnswer): string {
  if (isAlreadyRunning) return 'already running: nothing would be done\n';
  if (blockers.length === 0) return 'nothing stands in its way\n';
  return blockers
    .map(({ code, message }) => {
      const fix = isErrorCode(code) ? `  fix: ${errorTable[code].fix}\n` : '';
      return `blocked: ${printable(message)} (${printable(code)})\n${fix}`;
    })
    .join('');
}
