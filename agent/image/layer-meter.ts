/** From this ratio on, content counts as compressed already. */
const denseRatio = 0.9;

/** Adds up what the frames of a layer come to. */
export class LayerMeter {
  /** Compressed bytes of all frames. */
  layerBytes = 0;
  /** Those of frames that hardly compress. */
  denseLayerBytes = 0;
  /** Those of frames that hold a block which an earlier image lacks. */
  newLayerBytes = 0;

  add(contentBytes: number, compressedBytes: number, isNew: boolean): void {
    this.layerBytes += compressedBytes;
    if (compressedBytes >= contentBytes * denseRatio) this.denseLayerBytes += compressedBytes;
    if (isNew) this.newLayerBytes += compressedBytes;
  }
}
