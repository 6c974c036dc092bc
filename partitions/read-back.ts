import type { BlockDevice } from './block-device.ts';
import type { BufferRing } from './buffer-ring.ts';
import { DigestMeter } from './layer-check.ts';

/**
 * The digest (algorithm of `like`) of the first `sizeBytes` of `device`, read from the device. The next buffer is read
 * while one is hashed. `beforeBuffer` is called before each read, and may throw to end it. Throws `slot-write-failed`.
 */
export async function readBack(
  device: BlockDevice,
  sizeBytes: number,
  like: string,
  ring: BufferRing,
  beforeBuffer: () => void,
): Promise<string> {
  const meter = new DigestMeter(like);
  const turns = Math.ceil(sizeBytes / ring.bufferBytes);
  const startRead = async (turn: number): Promise<Uint8Array> => {
    beforeBuffer();
    const offset = turn * ring.bufferBytes;
    const wantedBytes = Math.min(ring.bufferBytes, sizeBytes - offset);
    const alignedBytes = Math.ceil(wantedBytes / device.alignmentBytes) * device.alignmentBytes;
    await device.read(ring.at(turn).subarray(0, alignedBytes), offset);
    return ring.at(turn).subarray(0, wantedBytes);
  };
  let next = turns > 0 ? startRead(0) : undefined;
  for (let turn = 0; next !== undefined; turn += 1) {
    const bytes = await next;
    next = turn + 1 < turns ? startRead(turn + 1) : undefined;
    meter.update(bytes);
  }
  return meter.digest();
}
