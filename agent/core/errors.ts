import type { ErrorCode } from './error-codes.ts';

export type { AgentErrorCode, ErrorCode } from './error-codes.ts';

/** What a code means to each surface. */
export interface ErrorRow {
  /** HTTP status of the problem answer (RFC 9457). */
  readonly httpStatus: number;
  /** Title of the problem answer; also what `kaonctl explain` prints first. */
  readonly title: string;
  /** Exit code of kaonctl, by sysexits. */
  readonly exitCode: number;
  /** Whether the same request may succeed later without anybody changing anything. */
  readonly isRetryable: boolean;
  /** What an operator can do. */
  readonly fix: string;
}

function row(httpStatus: number, exitCode: number, isRetryable: boolean, title: string, fix: string): ErrorRow {
  return { httpStatus, title, exitCode, isRetryable, fix };
}

// One row a line reads as the table that it is.
// prettier-ignore
/** The one table of all codes. */
export const errorTable = {
  'usage-invalid': row(400, 64, false, 'The request is not well formed', 'Correct the field that the message names.'),
  'body-too-large': row(413, 64, false, 'The request is too large', 'Send less; the message names the limit.'),
  'resource-not-found': row(404, 64, false, 'No such resource', 'See kaonctl --help for what there is.'),
  'idempotency-key-reused': row(409, 65, false, 'The idempotency key was used for another request', 'Use a new key.'),
  'config-invalid': row(500, 78, false, 'The configuration is not valid', 'Run kaond --check-config and correct the named path.'),
  'key-invalid': row(500, 78, false, 'A key cannot be used', 'Put a PEM public key (Ed25519, P-256 or RSA of 2048 bits or more) at the named path.'),
  'state-dir-invalid': row(500, 78, false, 'The state directory cannot be used', 'Point stateDir at a directory on a data partition that both slots share.'),
  'reference-invalid': row(422, 65, false, 'The image reference is not valid', 'Write HOST[:PORT]/NAME[:TAG][@DIGEST] in lower case.'),
  'manifest-invalid': row(422, 65, false, 'The image is not well formed', 'Build the image again, for example with kaonctl image build.'),
  'platform-not-found': row(422, 65, false, 'The index has no image for this platform', 'Push an image for this architecture.'),
  'image-incompatible': row(422, 65, false, 'The image is for another kind of node', 'Use an image whose compatible names this node, or correct node.compatible.'),
  'agent-too-old': row(422, 65, false, 'The image needs a newer agent', 'Update in two steps, over an image that carries the newer agent.'),
  'downgrade-refused': row(422, 65, false, 'The image is below the rollback floor', 'Use an image whose rollbackIndex is at least the floor.'),
  'trust-rule-missing': row(422, 65, false, 'No trust rule matches the image', 'Add a rule for the repository under trust.rules.'),
  'repository-refused': row(422, 65, false, 'Updates may not come from the repository', 'Sign the image by the rule of the repository that the node follows, or name its repository under trust.repositories.'),
  'signature-missing': row(422, 65, false, 'The image is not signed', 'Sign the image digest, for example with kaonctl image sign.'),
  'signature-invalid': row(422, 65, false, 'A signature of the image does not verify', 'Sign the image again with the key that the rule names.'),
  'signature-mismatch': row(422, 65, false, 'The signature belongs to another image', 'Sign this digest; somebody may have copied a signature.'),
  'signer-untrusted': row(422, 65, false, 'The image is not signed by enough trusted keys', 'Sign with the keys of the rule, or add the key to the rule.'),
  'provenance-untrusted': row(422, 65, false, 'Nobody trusted says that the image was built as its rule wants', 'See kaonctl trust explain; correct the build, or requireProvenance of the rule.'),
  'registry-unreachable': row(502, 69, true, 'The registry does not answer', 'Check the network and the registry; kaon tries again by itself.'),
  'registry-unauthorized': row(502, 77, false, 'The registry refuses the credentials', 'Correct the credentials in registries.<host>.authFile.'),
  'registry-rate-limited': row(502, 75, true, 'The registry asks to come back later', 'Wait; kaon tries again by itself.'),
  'registry-protocol-invalid': row(502, 76, false, 'The registry answers against the protocol', 'Check the registry and what stands between it and the node.'),
  'image-not-found': row(404, 66, false, 'The registry has no such image', 'Check the reference, and that the image was pushed.'),
  'response-too-large': row(502, 65, false, 'An answer is larger than its limit', 'The message names the limit and what exceeded it.'),
  'archive-invalid': row(422, 65, false, 'The offline archive cannot be read', 'Make it again with skopeo copy … oci-archive:FILE.'),
  'known-bad': row(409, 65, false, 'The image rolled back on this node before', 'Find out why (kaonctl rollbacks); then kaonctl known-bad clear DIGEST.'),
  'update-in-progress': row(409, 75, true, 'Another update is under way', 'Wait for it, or cancel it.'),
  'update-phase-wrong': row(409, 65, false, 'The update is in another phase', 'See kaonctl status for what is possible now.'),
  'update-not-found': row(404, 66, false, 'No such update', 'See kaonctl history.'),
  'update-held': row(409, 75, true, 'Updates are on hold', 'Wait for the end of the hold, or lift it.'),
  'reboot-inhibited': row(409, 75, true, 'Somebody holds the reboot back', 'See systemd-inhibit --list; or wait: update.reboot says for how long.'),
  'booted-slot-unproven': row(409, 75, true, 'The booted slot is not proven', 'Wait for its health checks; an unproven slot is no fallback.'),
  'loader-unproven': row(409, 65, false, 'The loader never proved that it counts', 'Run kaonctl bootloader selftest --reboot, or set update.unprovenLoader to warn.'),
  'nothing-to-roll-back': row(409, 65, false, 'The other slot cannot be booted', 'Install an image instead.'),
  'health-failed': row(409, 1, false, 'Health checks failed in the trial', 'See kaonctl rollbacks for the checks and their output.'),
  'boot-tries-exhausted': row(409, 1, false, 'The new slot never came up', 'See kaonctl rollbacks; try the image on a test node.'),
  'trial-lost': row(409, 1, false, 'The trial ended without a verdict', 'See kaonctl rollbacks for the evidence.'),
  'power-lost': row(409, 75, true, 'Power was lost in every try', 'Check the power supply; then activate again.'),
  'committed-slot-lost': row(409, 1, false, 'A committed slot no longer boots', 'Check the storage of this node; install an image again.'),
  'update-cancelled': row(409, 1, false, 'The update was cancelled', 'Start it again when it is wanted.'),
  'link-metered': row(409, 75, false, 'The link is metered', 'Wait for another link; or allow it by kaonctl update IMAGE --metered, or kaonctl resume ID --metered while it waits; see update.metered in the configuration.'),
  'already-running': row(200, 0, false, 'The image is already running', 'Nothing is to be done.'),
  'trigger-invalid': row(422, 65, false, 'The trigger is not well formed', 'Correct the field that the message names.'),
  'trigger-untrusted': row(403, 77, false, 'The trigger is not signed by an allowed key', 'Sign it with a key under triggers.keys.'),
  'trigger-expired': row(403, 77, false, 'The trigger has expired', 'Issue a new one; check the clocks of both sides.'),
  'trigger-replayed': row(409, 65, false, 'The trigger was used before', 'Issue a new one with a higher sequence.'),
  'trigger-action-denied': row(403, 77, false, 'The key may not ask for this action', 'Add the action to the key under triggers.keys.'),
  'journal-failed': row(500, 74, true, 'The journal cannot be read or written', 'Check room and health of the data partition.'),
  'journal-newer': row(503, 78, false, 'The state was written by a newer agent', 'Boot the slot with the newer agent, or move the state directory away.'),
  'facts-failed': row(500, 74, true, 'The facts file cannot be read or written', 'Check room and health of the data partition.'),
  'facts-lost': row(409, 75, false, 'The security facts of this node are lost', 'Confirm with kaonctl hold clear facts-lost once the node is checked.'),
  'agent-degraded': row(503, 78, false, 'The agent runs degraded', 'See degraded in kaonctl status for the cause.'),
  'slotd-unreachable': row(503, 69, true, 'kaon-slotd does not answer', 'See journalctl -u kaon-slotd.'),
  'slotd-protocol-invalid': row(500, 76, false, 'kaond and kaon-slotd do not understand each other', 'Install both from the same package.'),
  'check-unreachable': row(503, 69, true, 'kaon-check does not answer', 'See systemctl status kaon-check.socket and journalctl -u kaon-check.'),
  'check-refused': row(403, 76, false, 'kaon-check does not run this', 'Name a check under health.checks; restart kaond after a change.'),
  'slot-unverified': row(409, 65, false, 'The slot was not written and verified', 'Stage the image again.'),
  'reboot-failed': row(500, 71, true, 'The reboot could not be started', 'Reboot by hand; see journalctl -u kaon-slotd.'),
  'daemon-unreachable': row(503, 69, true, 'kaond does not answer', 'See systemctl status kaond; is your user in group kaon?'),
  internal: row(500, 70, false, 'An internal error', 'Report it with the log.'),
  'boot-env-corrupt': row(500, 74, false, 'The loader environment is damaged', 'kaon repairs it at its next start; see kaonctl doctor.'),
  'boot-env-unreadable': row(500, 74, false, 'The loader environment cannot be read', 'Check bootloader.environment and the partition it lies on.'),
  'boot-env-write-failed': row(500, 74, true, 'The loader environment cannot be written', 'Check that its file system is writable and sound.'),
  'boot-fallback-missing': row(409, 65, false, 'There is no slot to fall back to', 'Wait until the booted slot is marked good.'),
  'boot-payload-missing': row(500, 74, false, 'What a slot is started from is not on the boot partition', 'An update writes it once more by itself; else update to that image again, and check the partition with fsck.vfat.'),
  'boot-entry-missing': row(500, 78, false, 'The firmware has no boot entry of a slot', 'Make it again with efibootmgr, as the message says.'),
  'boot-not-armed': row(409, 65, false, 'The loader is not armed for the trial', 'Cancel the update and start it again.'),
  'bootloader-unsupported': row(501, 78, false, 'The loader does not support this', 'Correct bootloader.type or bootloader.tries.'),
  'slot-device-unreadable': row(500, 74, false, 'The slot device cannot be opened', 'Check the device path in the configuration.'),
  'slot-busy': row(409, 75, true, 'The slot is in use', 'Unmount it; the booted slot is never written.'),
  'slot-device-refused': row(422, 78, false, 'The device is not one that kaon may write', 'Name it under slots in the configuration.'),
  'slot-too-small': row(507, 65, false, 'The image does not fit on the slot', 'Build a smaller image, or enlarge the partition.'),
  'slot-write-failed': row(500, 74, true, 'The slot could not be written', 'Check the storage device (dmesg).'),
  'slot-verify-failed': row(500, 74, true, 'The slot reads back differently', 'Check the storage device (dmesg).'),
  'booted-slot-unknown': row(500, 78, false, 'The booted slot is not known', 'Check slots in the configuration against the mounted root.'),
  'digest-mismatch': row(502, 65, true, 'Bytes do not have the signed digest', 'The source or the link damaged them; try again or check the registry.'),
  'download-truncated': row(502, 75, true, 'A download ended early', 'Try again; check the link.'),
  'layer-too-large': row(502, 65, false, 'A layer has more bytes than were signed', 'Check the registry; build the image again.'),
  'layer-corrupt': row(502, 65, false, 'A layer cannot be decoded', 'Build the image again.'),
  'block-index-invalid': row(502, 65, false, 'A block index cannot be read', 'Build the image again.'),
  'patch-invalid': row(502, 65, false, 'A patch cannot be used', 'Nothing is to be done on the node: what the patch should have given is fetched. Make the patch again with kaonctl image patch.'),
  'slot-write-stalled': row(500, 74, true, 'The slot device does not answer', 'Check the storage device (dmesg); it may have to be replaced.'),
  'slot-worker-lost': row(500, 70, true, 'A worker of the writer ended', 'Check the memory that kaon-slotd may use (journalctl -u kaon-slotd).'),
  'boot-partition-full': row(507, 65, false, 'The boot payloads do not fit on the boot partition', 'Remove what does not belong there, build smaller payloads, or enlarge the partition.'),
  'boot-partition-failed': row(500, 74, true, 'The boot partition could not be used', 'Check the storage device (dmesg).'),
  'boot-partition-dirty': row(409, 74, true, 'The boot partition was not unmounted in order', 'Run fsck.vfat -a on its device while it is not mounted.'),
  'boot-partition-read-only': row(409, 74, true, 'The boot partition is mounted read-only', 'Look in dmesg for the reason, run fsck.vfat -a on its device, and mount it again.'),
  'boot-partition-unmountable': row(500, 74, true, 'The boot partition could not be mounted', 'Check bootloader.esp and bootloader.xbootldr in the configuration, and the system log.'),
} as const satisfies Record<ErrorCode, ErrorRow>;

/** Whether `code` is one of ours. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorTable, code);
}

/** An error of the agent, with a stable code, a message `cannot <verb> <object>: <reason>`, details and cause. */
export class AgentError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: Readonly<Record<string, unknown>>; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'AgentError';
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** What is kept, sent and shown of an error. */
export interface ErrorReport {
  readonly code: ErrorCode;
  readonly message: string;
}

/** The code and message of any thrown value; what carries no code of ours is `internal`. */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof Error) {
    const code: unknown = 'code' in error ? error.code : undefined;
    return { code: isErrorCode(code) ? code : 'internal', message: error.message };
  }
  return { code: 'internal', message: String(error) };
}
