/** A path as systemd writes it in the name of a unit (systemd.unit(5), "String Escaping for Inclusion in Unit Names"). */
export function systemdUnitPath(path: string): string {
  const trimmed = path.split('/').filter((name) => name !== '');
  if (trimmed.length === 0) return '-';
  const escaped = trimmed.map((name) =>
    [...Buffer.from(name, 'utf8')]
      .map((byte) => {
        const character = String.fromCharCode(byte);
        return /[A-Za-z0-9:_.]/.test(character) ? character : `\\x${byte.toString(16).padStart(2, '0')}`;
      })
      .join(''),
  );
  // A unit's name must not begin with a dot.
  return escaped.join('-').replace(/^\./, '\\x2e');
}
