import type { BootloaderErrorCode } from '../../bootloader/errors.ts';
import type { PartitionErrorCode } from '../../partitions/errors.ts';

/** The agent's own stable codes; messages may change, codes may not. `errors.ts` gives each its statuses. */
export type AgentErrorCode =
  /** A command line or a request body does not have the form that it must have. */
  | 'usage-invalid'
  /** A request body, header or message is larger than its limit. */
  | 'body-too-large'
  /** No such resource of the API. */
  | 'resource-not-found'
  /** An Idempotency-Key came again with another body. */
  | 'idempotency-key-reused'
  /** The configuration does not parse, or a value in it can't be used. */
  | 'config-invalid'
  /** A key file is missing, unreadable, of an unsupported kind or too weak. */
  | 'key-invalid'
  /** The state directory lies on a slot, or can't be used. */
  | 'state-dir-invalid'
  /** An image reference does not follow the OCI grammar. */
  | 'reference-invalid'
  /** A manifest, index or image config does not parse or contradicts itself. */
  | 'manifest-invalid'
  /** An index has no image for this platform. */
  | 'platform-not-found'
  /** The image is for another kind of node. */
  | 'image-incompatible'
  /** The image asks for a newer agent than this one. */
  | 'agent-too-old'
  /** The image is older than the rollback floor or than what runs, and the policy forbids it. */
  | 'downgrade-refused'
  /** No trust rule matches the image's repository. */
  | 'trust-rule-missing'
  /** Updates of this node may not come from the image's repository. */
  | 'repository-refused'
  /** The image has no signature. */
  | 'signature-missing'
  /** A signature does not verify, or can't be read. */
  | 'signature-invalid'
  /** Nothing verified says that the image was built as its rule wants. */
  | 'provenance-untrusted'
  /** A valid signature of another image was found in place of this image's. */
  | 'signature-mismatch'
  /** Signatures were found, but not enough of them by keys that the rule names. */
  | 'signer-untrusted'
  /** The registry does not answer, or fails. */
  | 'registry-unreachable'
  /** The registry refuses the node's credentials, or wants some. */
  | 'registry-unauthorized'
  /** The registry asks to come back later. */
  | 'registry-rate-limited'
  /** The registry answers against the protocol. */
  | 'registry-protocol-invalid'
  /** The registry has no such image. */
  | 'image-not-found'
  /** An answer is larger than its limit. */
  | 'response-too-large'
  /** An offline archive or layout can't be read. */
  | 'archive-invalid'
  /** This digest rolled back on this node; an operator has to clear it. */
  | 'known-bad'
  /** Another update is under way. */
  | 'update-in-progress'
  /** The update is in a phase that does not allow this. */
  | 'update-phase-wrong'
  /** No update with this id. */
  | 'update-not-found'
  /** An operator holds updates. */
  | 'update-held'
  /** Somebody keeps the node from being shut down. */
  | 'reboot-inhibited'
  /** The booted slot is not marked good in this boot, so it is no fallback. */
  | 'booted-slot-unproven'
  /** The loader never proved that it counts, and the update rules want a proof. */
  | 'loader-unproven'
  /** The other slot holds nothing that can be booted. */
  | 'nothing-to-roll-back'
  /** Required health checks failed in the trial. */
  | 'health-failed'
  /** The loader used up its tries before the slot proved itself. */
  | 'boot-tries-exhausted'
  /** The trial booted, and the node came back in the other slot before the verdict. */
  | 'trial-lost'
  /** Every try ended in a positively known power loss. */
  | 'power-lost'
  /** A committed slot no longer boots, and the loader fell back. */
  | 'committed-slot-lost'
  /** An operator or a trigger ended the update. */
  | 'update-cancelled'
  /** The link is metered, and the update would fetch more than the rule allows unasked. */
  | 'link-metered'
  /** The image is already running and proven. */
  | 'already-running'
  /** A trigger does not parse, or names what it may not. */
  | 'trigger-invalid'
  /** A trigger is not signed by a key that the configuration allows. */
  | 'trigger-untrusted'
  /** A trigger's time is over. */
  | 'trigger-expired'
  /** A trigger's sequence was used before. */
  | 'trigger-replayed'
  /** A trigger's key may not ask for this action. */
  | 'trigger-action-denied'
  /** The journal can't be read or written. */
  | 'journal-failed'
  /** The state directory was written by a newer agent that older ones can't read. */
  | 'journal-newer'
  /** The facts file can't be read or written. */
  | 'facts-failed'
  /** Both copies of the facts are lost; an operator has to confirm before updates go on. */
  | 'facts-lost'
  /** The agent runs degraded and starts no update. */
  | 'agent-degraded'
  /** kaon-slotd does not answer. */
  | 'slotd-unreachable'
  /** A message between kaond and kaon-slotd breaks the protocol. */
  | 'slotd-protocol-invalid'
  /** kaon-check does not answer. */
  | 'check-unreachable'
  /** kaon-check does not run what it is asked for. */
  | 'check-refused'
  /** The slot was not written and verified by kaon-slotd, so it is not activated. */
  | 'slot-unverified'
  /** The reboot could not be started. */
  | 'reboot-failed'
  /** kaond does not answer on its socket. */
  | 'daemon-unreachable'
  /** A broken invariant: a bug. */
  | 'internal';

/** Every code that kaon can answer with. */
export type ErrorCode = AgentErrorCode | BootloaderErrorCode | PartitionErrorCode;
