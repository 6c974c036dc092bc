import type { BuiltImage } from '../image/build-image.ts';
import type { InspectedImage } from '../image/inspect-image.ts';
import type { VerifiedImage } from '../image/verify-image.ts';
import { formatBytes, printable, shortDigest } from './format-values.ts';
import { renderPairs, renderTable } from './render-table.ts';

/** What was built. */
export function renderBuilt({ digest, partitions, payloads }: BuiltImage, output: string): string {
  const table = renderTable(
    ['PARTITION', 'CONTENT', 'LAYER', 'INDEX', 'FROM PREVIOUS', 'LAYER DIGEST'],
    partitions.map(({ name, contentSizeBytes, layerSizeBytes, layerDigest, index, fromPreviousBytes }) => [
      name,
      formatBytes(contentSizeBytes),
      formatBytes(layerSizeBytes),
      formatBytes(index.layerSizeBytes),
      fromPreviousBytes === undefined ? '' : formatBytes(fromPreviousBytes),
      shortDigest(layerDigest),
    ]),
  );
  return `${table}${renderPayloads(payloads)}\nbuilt ${printable(digest)} in ${printable(output)}\n`;
}

/** What an image says of itself. */
export function renderInspected(image: InspectedImage): string {
  const { config, layers, boot, signatures, manifestDigest, resolvedDigest } = image;
  const head = renderPairs([
    ['digest', manifestDigest],
    ['index', resolvedDigest === manifestDigest ? undefined : resolvedDigest],
    ['name', config.name],
    ['version', config.version],
    ['compatible', config.compatible.join(', ')],
    ['rollback index', String(config.rollbackIndex)],
    ['minimum agent', config.minimumAgent],
    ['agent inside', config.agentVersion],
    ['boot options', boot?.options],
    ['signatures', `${signatures.length}, none of them verified here`],
  ]);
  const table = renderTable(
    ['PARTITION', 'ENCODING', 'LAYER', 'CONTENT', 'LAYER DIGEST'],
    layers.map(({ name, encoding, layerSizeBytes, contentSizeBytes, layerDigest }) => [
      name,
      encoding,
      formatBytes(layerSizeBytes),
      contentSizeBytes === undefined ? '' : formatBytes(contentSizeBytes),
      shortDigest(layerDigest),
    ]),
  );
  return `${head}\n${table}${renderPayloads(boot?.payloads ?? [])}`;
}

function renderPayloads(payloads: BuiltImage['payloads']): string {
  if (payloads.length === 0) return '';
  const rows = payloads.map(({ role, layerSizeBytes, layerDigest }) => [
    role,
    formatBytes(layerSizeBytes),
    shortDigest(layerDigest),
  ]);
  return `\n${renderTable(['BOOT PAYLOAD', 'SIZE', 'LAYER DIGEST'], rows)}`;
}

/** Which signature counted for what, and the verdict. */
export function renderVerified({ digest, explanation, problems, checkedLayers }: VerifiedImage): string {
  const { rule, findings, provenance = [], verdict } = explanation;
  const head = renderPairs([
    ['digest', digest],
    ['repository', explanation.repository],
    ['rule', rule === undefined ? 'none' : `${rule.prefix}: ${rule.atLeast} of ${rule.keys.join(', ')}`],
  ]);
  const found = [...findings, ...provenance].map(({ result, text }) => `${result}: ${printable(text)}\n`).join('');
  const unread = problems.map(({ message }) => `not read: ${printable(message)}\n`).join('');
  const layers =
    checkedLayers.length === 0 ? '' : `${checkedLayers.length} layers were fetched and have their digests\n`;
  const end = verdict.isTrusted ? `trusted: signed with ${printable(verdict.keyIds.join(', '))}\n` : 'not trusted\n';
  return `${head}${found}${unread}${layers}${end}`;
}
