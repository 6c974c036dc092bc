import type { VerifiedImage } from '../image/verify-image.ts';
import { describeFloors, type TrustFloors } from './ask-trust-floors.ts';
import { printable } from './format-values.ts';
import { renderPairs, renderTable } from './render-table.ts';

/** What a trust policy makes of an image: its rule, each signature and statement beside the image, and the verdict. */
export function renderExplained(
  image: string,
  { digest, explanation, problems }: VerifiedImage,
  floors: TrustFloors,
): string {
  const { repository, rule, time, verdict } = explanation;
  const [first, ...more] = rule?.wants ?? [];
  const head = renderPairs([
    ['image', image],
    ['digest', digest],
    ['repository', repository],
    ['rule', rule === undefined ? 'none: a repository that no rule matches is refused' : rule.prefix],
    ['wants', first],
    ...more.map((text) => ['', text] as const),
    ['time', time],
    ['not before', time === undefined ? undefined : describeFloors(floors)],
    ['follows', floors.followed],
  ]);
  return [
    head,
    renderFound(explanation),
    renderProblems(problems),
    '\n',
    verdict.isTrusted
      ? `trusted: signed with ${printable(verdict.keyIds.join(', '))}\n`
      : `not trusted: ${printable(verdict.reason)}\n`,
  ].join('');
}

function renderFound({ findings, provenance }: VerifiedImage['explanation']): string {
  const signatures = findings.map(({ result, format, keyId, text, source }) => [
    result,
    format,
    keyId ?? '',
    text,
    source,
  ]);
  const found =
    signatures.length === 0
      ? 'no signature that can be read is beside it\n'
      : renderTable(['SIGNATURE', 'FORMAT', 'BY', 'FOUND', 'AT'], signatures);
  if (provenance === undefined) return `\n${found}`;
  const statements = provenance.map(({ result, text, source }) => [result, text, source]);
  const built =
    statements.length === 0
      ? 'nothing beside it may be provenance\n'
      : renderTable(['PROVENANCE', 'FOUND', 'AT'], statements);
  return `\n${found}\n${built}`;
}

function renderProblems(problems: VerifiedImage['problems']): string {
  if (problems.length === 0) return '';
  const rows = problems.map(({ code, message }) => [code, message]);
  return `\n${renderTable(['NOT READ', 'WHY'], rows)}`;
}
