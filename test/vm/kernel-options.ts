/**
 * What every machine's kernel is told besides its root and its slot. All but the first four only save an emulated
 * processor's work: hardening that no scenario is about, ports that are not there, and addresses that differ in each
 * process, for which the emulator would translate each library anew.
 */
export function kernelOptions(console: string): string {
  return [
    ...['rootwait', 'ro', 'panic=5', `console=${console}`],
    ...['quiet', 'mitigations=off', 'nokaslr', 'norandmaps', 'randomize_kstack_offset=off', 'init_on_alloc=0'],
    ...['hardened_usercopy=off', 'apparmor=0', 'audit=0', 'nowatchdog', '8250.nr_uarts=1'],
  ].join(' ');
}
