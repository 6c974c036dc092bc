import type { OutcomeAnswer, ProvenanceAnswer, SlotAnswer, StatusAnswer } from './answers.ts';
import { phaseLine } from './follow-update.ts';
import { formatBytes, formatDuration, formatTime, printable, shortDigest } from './format-values.ts';
import { percentOf } from './progress-bar.ts';
import { loaderText } from './render-bootloader.ts';
import { transferText } from './render-transfer.ts';
import { renderPairs, renderTable } from './render-table.ts';

/** The slots as a table. */
export function renderSlots(slots: readonly SlotAnswer[]): string {
  return renderTable(
    ['SLOT', 'STATE', 'BOOTED', 'BOOTS NEXT', 'TRIES', 'VERSION', 'DIGEST', 'WRITTEN', 'COMMITTED'],
    slots.map(({ name, state, isBooted, isPrimary, triesLeft, deployment }) => [
      name,
      state,
      isBooted ? 'yes' : 'no',
      isPrimary ? 'yes' : 'no',
      state === 'trial' ? String(triesLeft) : '',
      deployment?.version ?? '',
      shortDigest(deployment?.digest),
      formatTime(deployment?.writtenAt),
      formatTime(deployment?.committedAt),
    ]),
  );
}

/** Everything that the status tells, what boots and what is waited for in words. */
export function renderStatus(status: StatusAnswer): string {
  const labels = Object.entries(status.labels).map(([name, value]) => `${name}=${value}`);
  const pairs = renderPairs([
    ['node', `${status.nodeId}, ${[status.compatible, ...labels].join(', ')}`],
    ['host', hostText(status)],
    ['agent', `kaon ${status.agentVersion}, since ${formatTime(status.startedAt)}`],
    ['boots', bootsText(status)],
    [
      'floor',
      status.rollbackFloor === 0 ? undefined : `images below rollbackIndex ${status.rollbackFloor} are refused`,
    ],
    ['update', currentText(status)],
    ['loader', status.loader === undefined ? undefined : `${status.loader.name}: ${loaderText(status)}`],
    ['', status.loader?.notes.length === 0 ? undefined : status.loader?.notes.join('; ')],
    ['probation', probationText(status)],
    ['offers', offersText(status)],
    ['link', status.link?.text],
    ['last', status.last === undefined ? undefined : outcomeText(status.last)],
    ['known bad', knownBadText(status)],
  ]);
  return [
    pairs,
    status.slots.length === 0 ? '' : `\n${renderSlots(status.slots)}`,
    ...listText('trusted', status.slots.flatMap(trustText)),
    ...listText('waiting for', status.waitingFor.map(waitingText)),
    ...listText(
      'degraded',
      status.degraded.map(({ message, code }) => `${message} (${code})`),
    ),
  ].join('');
}

/** Whose word each slot's image is taken by. */
function trustText({ name, deployment }: SlotAnswer): readonly string[] {
  if (deployment?.keyIds === undefined || deployment.keyIds.length === 0) return [];
  const { keyIds, rule, provenance } = deployment;
  const by = `slot ${name}: signed with ${keyIds.join(', ')}${rule === undefined ? '' : ` (rule ${rule})`}`;
  if (provenance === undefined) return [by];
  return [`${by}; ${provenanceText(provenance)}`];
}

/** How an image was built, and by whose word. */
export function provenanceText(provenance: ProvenanceAnswer): string {
  const { builderId, sourceRepository, sourceRef, sourceCommit, signerId } = provenance;
  const source = [sourceRepository, sourceRef, sourceCommit].filter((part) => part !== undefined).join(' ');
  return `built by ${builderId} from ${source}, as ${signerId} vouches`;
}

function probationText({ probation }: StatusAnswer): string | undefined {
  if (probation === undefined) return undefined;
  const { slot, leftMs, alarm } = probation;
  if (alarm !== undefined) return `ALARM since ${formatTime(alarm.at)}, slot ${slot}: ${alarm.message}`;
  return `slot ${slot} is well so far; checked for another ${formatDuration(leftMs)}`;
}

function offersText({ offers }: StatusAnswer): string | undefined {
  if (offers === undefined) return undefined;
  const { alarm, quietSinceAt, verified, contactAt } = offers;
  return [
    ...(alarm === undefined ? [] : [`ALARM since ${formatTime(alarm.at)}: ${alarm.message}`]),
    `nothing newer since ${formatTime(quietSinceAt)}`,
    `last verified ${formatTime(verified?.at)}`,
    `last answer of a registry ${formatTime(contactAt)}`,
  ].join('; ');
}

function hostText({ host }: StatusAnswer): string | undefined {
  if (host === undefined) return undefined;
  const { hostname, architecture, system, stateDirAvailableBytes: room } = host;
  const os = [system?.osName, system?.osVersion].filter((part) => part !== undefined).join(' ');
  return [
    hostname,
    ...(os === '' ? [] : [os]),
    ...(system?.kernel === undefined ? [] : [`Linux ${system.kernel}`]),
    architecture,
    `up ${formatDuration(host.uptimeMs)}`,
    `${formatBytes(host.memoryAvailableBytes)} of ${formatBytes(host.memoryTotalBytes)} memory free`,
    ...(room === undefined ? [] : [`${formatBytes(room)} free for state`]),
  ].join(', ');
}

/** What runs, and what the next boot tries. */
export function bootsText({ booted, primary, slots }: StatusAnswer): string {
  if (booted === undefined) return 'not known: the loader cannot be read now';
  if (primary === undefined) return `slot ${booted} runs; the loader names no slot for the next boot`;
  if (booted === primary) return `slot ${booted} runs, and boots next`;
  const tries = slots.find(({ name }) => name === primary)?.triesLeft;
  return `slot ${booted} runs; slot ${primary} is tried at the next boot${tries === undefined ? '' : ` (${tries} tries left)`}`;
}

/** How an update ended, in one line. */
export function outcomeText(outcome: OutcomeAnswer): string {
  const { updateId, kind, result, code, message, at } = outcome;
  const why = code === undefined ? '' : `: ${message ?? code} (${code})`;
  return `${kind} ${updateId} ${result} at ${formatTime(at)}${why}`;
}

function currentText({ current }: StatusAnswer): string {
  if (current === undefined) return 'none under way';
  const { request, phase, target, progress, transfer, pausedAt, lastError } = current;
  const what = `${request.id}: ${request.image}, until ${request.until}; ${phaseLine(phase, target?.slot)}`;
  const bytes =
    progress === undefined
      ? transfer === undefined
        ? ''
        : `, ${transferText(transfer)}`
      : `, ${percentOf(progress.fetchedBytes, progress.layerSizeBytes)} % (${formatBytes(progress.fetchedBytes)} of ${formatBytes(progress.layerSizeBytes)})${reusedText(progress)}`;
  const paused = pausedAt === undefined ? '' : `, paused at ${formatTime(pausedAt)}`;
  return `${what}${paused}${bytes}${lastError === undefined ? '' : `; last error: ${lastError.message}`}`;
}

/** What need not be fetched, as it was on the node, and what came of less than itself. */
function reusedText({
  keptBytes = 0,
  copiedBytes = 0,
  patchedBytes = 0,
}: NonNullable<NonNullable<StatusAnswer['current']>['progress']>) {
  const found = keptBytes + copiedBytes === 0 ? '' : `, ${formatBytes(keptBytes + copiedBytes)} found on the node`;
  return patchedBytes === 0 ? found : `${found}, ${formatBytes(patchedBytes)} out of a patch`;
}

function knownBadText({ knownBad }: StatusAnswer): string | undefined {
  const latest = knownBad.at(-1);
  if (latest === undefined) return undefined;
  const others = knownBad.length === 1 ? '' : `, and ${knownBad.length - 1} more`;
  return `${shortDigest(latest.digest)} since ${formatTime(latest.at)}: ${latest.reason}${others}; see kaonctl known-bad`;
}

function waitingText({ text, until }: StatusAnswer['waitingFor'][number]): string {
  return until === undefined ? text : `${text} (until ${formatTime(until)})`;
}

function listText(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [`\n${title}:\n`, ...lines.map((line) => `  - ${printable(line)}\n`)];
}
