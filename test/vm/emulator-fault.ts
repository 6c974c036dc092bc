/** What a boot came to says nothing of the guest: the emulator itself failed. */
export class EmulatorFault extends Error {
  override readonly name = 'EmulatorFault';
}

/**
 * Whether a line of the console says that the emulated disk did not answer a command for a minute, and is gone for the
 * rest of the boot: "command aborted by host" of the NVMe specification, which Linux gives what it had to cancel. QEMU 7.2
 * loses a completion now and then.
 */
export function tellsOfLostDisk(line: string): boolean {
  return /nvme\d+n\d+: I\/O Cmd\(\w+\) .*\(sct 0x3 \/ sc 0x71\)/.test(line);
}
