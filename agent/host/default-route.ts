import { readFile } from 'node:fs/promises';

/** Whether the kernel's tables have a route to everywhere: /proc/net/route and /proc/net/ipv6_route, `root` before them. */
export async function hasDefaultRoute(root = '/'): Promise<boolean> {
  const table = (name: string) => readFile(`${root}proc/net/${name}`, 'utf8').catch(() => '');
  return hasDefaultIn(await table('route'), await table('ipv6_route'));
}

/**
 * The same of the texts of both tables. A line of IPv4 has destination and mask in columns 1 and 7, hex; one of IPv6 has
 * destination, prefix length and, last, the interface. Routes over `lo` reject what they take.
 */
export function hasDefaultIn(ipv4: string, ipv6: string): boolean {
  const rows = (text: string) => text.split('\n').map((line) => line.trim().split(/\s+/));
  const isDefault4 = ([device, destination, , , , , , mask]: readonly string[]) =>
    device !== 'lo' && destination === '00000000' && mask === '00000000';
  const isDefault6 = (row: readonly string[]) =>
    row.length >= 10 && /^0{32}$/.test(row[0] ?? '') && row[1] === '00' && row.at(-1) !== 'lo';
  return rows(ipv4).some(isDefault4) || rows(ipv6).some(isDefault6);
}
