import type { LayerEncoding } from '../trusted-descriptor.ts';
import { decodeGzip } from './decode-gzip.ts';
import { decodeZstd } from './decode-zstd.ts';

/** The content of a layer. Throws `download-truncated`, `layer-corrupt`, or the error of `source`. */
export function decodeLayer(encoding: LayerEncoding, source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  switch (encoding) {
    case 'raw':
      return source;
    case 'gzip':
      return decodeGzip(source);
    case 'zstd':
      return decodeZstd(source);
  }
}
