/** The smallest file that systemd-boot lists of `EFI/Linux`: a PE header, and sections with these contents. */
export function sampleUki(sections: Readonly<Record<string, string>>): Buffer {
  const names = Object.keys(sections);
  const peOffset = 128;
  const tableOffset = peOffset + 24 + 112;
  const head = Buffer.alloc(tableOffset + 40 * names.length);
  head.write('MZ');
  head.writeUInt32LE(peOffset, 0x3c);
  head.write('PE\0\0', peOffset);
  head.writeUInt16LE(0x8664, peOffset + 4);
  head.writeUInt16LE(names.length, peOffset + 6);
  head.writeUInt16LE(112, peOffset + 20);
  head.writeUInt16LE(0x20b, peOffset + 24);
  const contents = names.map((name) => Buffer.from(sections[name] ?? ''));
  let offset = head.byteLength;
  for (const [index, name] of names.entries()) {
    const at = tableOffset + 40 * index;
    const sizeBytes = contents[index]?.byteLength ?? 0;
    head.write(name, at);
    head.writeUInt32LE(sizeBytes, at + 8);
    head.writeUInt32LE(sizeBytes, at + 16);
    head.writeUInt32LE(offset, at + 20);
    offset += sizeBytes;
  }
  return Buffer.concat([head, ...contents]);
}
