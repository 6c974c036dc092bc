import type { VerifiedImage } from '../image/verify-image.ts';
import { printable } from './format-values.ts';
import { renderPairs, renderTable } from './render-table.ts';

/** What a trust policy makes of an image: its rule, each signature and statement beside the image, and the verdict. */
export function renderExplained(image: string, { digest, explanation, problems }: VerifiedImage): string {
  const { repository, rule, findings, provenance, time, verdict } = explanation;
  const [first, ...more] = rule?.wants ?? [];
  const head = renderPairs([
    ['image', image],
    ['digest', digest],
    ['repository', repository],
    ['rule', rule === undefined ? 'none: a repository that no rule matches is refused' : rule.prefix],
    ['wants', first],
    ...more.map((text) => ['', text] as const),
    ['time', time],
  ]);
  const signatures = findings.map(({ result, format, keyId, text, source }) => [
    result,
    format,
    keyId ?? '',
    text,
    source,
  ]);
  const statements = (provenance ?? []).map(({ result, text, source }) => [result, text, source]);
  return [
    head,
    '\n',
    signatures.length === 0
      ? `no signature ${problems.length === 0 ? 'is beside it' : 'beside it can be read'}\n`
      : renderTable(['SIGNATURE', 'FORMAT', 'BY', 'FOUND', 'AT'], signatures),
    ...(provenance === undefined
      ? []
      : [
          '\n',
          statements.length === 0
            ? 'nothing beside it may be provenance\n'
            : renderTable(['PROVENANCE', 'FOUND', 'AT'], statements),
        ]),
    ...(problems.length === 0
      ? []
      : [
          '\n',
          renderTable(
            ['NOT READ', 'WHY'],
            problems.map(({ code, message }) => [code, message]),
          ),
        ]),
    '\n',
    verdict.isTrusted
      ? `trusted: signed with ${printable(verdict.keyIds.join(', '))}\n`
      : `not trusted: ${printable(verdict.reason)}\n`,
  ].join('');
}
