import type { Attack } from './attack.ts';
import { credentialAttacks } from './credential-attacks.ts';
import { documentAttacks } from './document-attacks.ts';
import { indexAttacks, layerAttacks } from './layer-attacks.ts';
import { mirrorAttacks } from './mirror-attacks.ts';
import { referrerAttacks } from './referrer-attacks.ts';
import { releaseAttacks } from './release-attacks.ts';
import { signatureAttacks } from './signature-attacks.ts';
import { answerAttacks, rangeAttacks, remoteAttacks, slowAndShortAttacks } from './transfer-attacks.ts';

/** All attacks, by the rows of the README. */
export const attackGroups: Readonly<Record<string, readonly Attack[]>> = {
  documents: documentAttacks,
  signatures: signatureAttacks,
  referrers: referrerAttacks,
  releases: releaseAttacks,
  answers: [...answerAttacks, ...remoteAttacks],
  ranges: rangeAttacks,
  time: slowAndShortAttacks,
  credentials: credentialAttacks,
  mirrors: mirrorAttacks,
  layers: layerAttacks,
  indexes: indexAttacks,
};

export const attacks: readonly Attack[] = Object.values(attackGroups).flat();
