import { AgentError } from './errors.ts';
import { parseReference } from './image-format/reference.ts';
import type { SignedImage } from './ports.ts';

/** The repository whose rule each image of this node has to fulfil; kept where kaond can't write. */
export interface FollowedRepository {
  /** `undefined` before the first write. */
  readonly current: string | undefined;
  /** Durable when it resolves. */
  follow(repository: string): Promise<void>;
}

/**
 * Whether `signed`, which `judge` trusts by the rule of the repository that it is said to be of, fulfils the rule of
 * `followed`, too: what an image is said to be of is nobody's signed word, so that the weaker of two rules could be
 * claimed. `false` where nothing is followed, or the policy has no rule for it any more. Throws `repository-refused` where
 * the rule of `followed` is not fulfilled.
 */
export function fulfilsFollowed(
  judge: (signed: SignedImage) => unknown,
  signed: SignedImage,
  followed: string | undefined,
): boolean {
  const { image, signatures } = signed;
  const { repository, tag, digest } = image.reference;
  if (followed === undefined) return false;
  if (followed === repository) return true;
  try {
    judge({ image: { ...image, reference: { ...parseReference(followed), tag, digest } }, signatures });
    return true;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    if (error.code === 'trust-rule-missing') return false;
    throw new AgentError(
      'repository-refused',
      `cannot take an image of ${repository}: this node follows ${followed}, whose rule it does not fulfil (${error.code}); want a signature by that rule, or trust.repositories with ${repository}`,
      { details: { repository, followed, code: error.code }, cause: error },
    );
  }
}
