import { type ErrorReport, reportOf } from '../core/errors.ts';
import type { CheckResult, SignedImage, TrustPolicy } from '../core/ports.ts';
import type { SignedImages } from '../core/signed-images.ts';
import type { UpdateState } from '../core/update-state.ts';

/**
 * The trust policy in a trial is that of the new slot. Where it would not trust the very image that brings it, by the
 * signatures that the old policy took, nobody may be able to sign for the node any more: a required check fails, and the
 * old slot with its keys comes back. So new keys take a signature by the old ones and by themselves. `undefined` where
 * there is no such doubt, or where nothing is kept to judge by.
 */
export async function ownTrustFault(
  state: UpdateState,
  kept: SignedImages,
  policies: (atMs: number) => Promise<readonly TrustPolicy[]>,
): Promise<CheckResult | undefined> {
  // An operator's way back is never in the way of its own keys.
  if (state.phase !== 'trial' || state.update.kind !== 'install') return undefined;
  const found = await kept.load(state.target.slot);
  if (found === undefined || found.signed.image.manifestDigest !== state.target.digest) return undefined;
  const refusals = await policies(found.judgedAtMs).then(
    (all) => all.map((policy) => refusalOf(policy, found.signed)),
    (error: unknown) => [reportOf(error)],
  );
  // A policy for another registry says nothing of this image: a fleet that moves has to get there from the old one.
  const isElsewhere = (one: ErrorReport | undefined) =>
    one?.code === 'trust-rule-missing' || one?.code === 'repository-refused';
  if (refusals.some(isElsewhere)) return undefined;
  const [refusal] = refusals;
  if (refusal === undefined || refusals.some((one) => one === undefined)) return undefined;
  return {
    name: 'trust',
    isRequired: true,
    status: 'failed',
    attempts: 1,
    durationMs: 0,
    output: `${refusal.code}: the trust policy that this image brings does not trust the image itself, and might trust no later one: ${refusal.message}`,
  };
}

function refusalOf(policy: TrustPolicy, signed: SignedImage): ErrorReport | undefined {
  try {
    policy.judge(signed);
    return undefined;
  } catch (error) {
    return reportOf(error);
  }
}
