const firstDescriptor = 3;
const mostDescriptors = 64;

/** A socket that systemd opened for the service. */
export interface PassedSocket {
  readonly descriptor: number;
  /** Its FileDescriptorName, `unknown` unless given. */
  readonly name: string;
}

/**
 * The sockets of socket activation (sd_listen_fds(3)): those of LISTEN_FDS from descriptor 3 on, when LISTEN_PID is
 * `processId`; none otherwise, and none for values that make no sense.
 */
export function listenSockets(environment: NodeJS.ProcessEnv, processId: number): readonly PassedSocket[] {
  if (environment['LISTEN_PID'] !== String(processId)) return [];
  const count = environment['LISTEN_FDS'] ?? '';
  if (!/^\d{1,3}$/.test(count) || Number(count) > mostDescriptors) return [];
  const names = (environment['LISTEN_FDNAMES'] ?? '').split(':');
  return Array.from({ length: Number(count) }, (_unused, index) => ({
    descriptor: firstDescriptor + index,
    name: names[index] === undefined || names[index] === '' ? 'unknown' : names[index],
  }));
}
