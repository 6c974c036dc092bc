import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const magic = 'KAON-TEST-ROOT ';

/** The content of a slot that stands for a file system with `files`, by their paths below its root. */
export function rootContent(files: Readonly<Record<string, string>>, sizeBytes: number): Buffer {
  const content = Buffer.alloc(sizeBytes);
  const text = Buffer.from(`${magic}${JSON.stringify(files)}`);
  if (text.byteLength >= sizeBytes) throw new Error(`the files have ${text.byteLength} bytes, the slot ${sizeBytes}`);
  text.copy(content);
  return content;
}

/** Lays out what `content` holds at `folder`, in place of what is there, as mounting it does; nothing where it is no root. */
export async function mountRoot(content: Buffer, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  const end = content.indexOf(0);
  const text = content.subarray(0, end === -1 ? content.byteLength : end).toString();
  if (!text.startsWith(magic)) return;
  const files = JSON.parse(text.slice(magic.length)) as Readonly<Record<string, string>>;
  for (const [path, held] of Object.entries(files)) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, held);
  }
}
