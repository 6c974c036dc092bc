import type { BlockDevice } from './block-device.ts';
import { PartitionError } from './errors.ts';

/** What the device needs of an opened file; `FileHandle` has it. */
export interface BlockHandle {
  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** The facts of an opened device. */
export interface LinuxBlockDeviceOptions {
  /** The configured path, for messages. */
  readonly path: string;
  readonly handle: BlockHandle;
  readonly sizeBytes: number;
  /** 512 or 4096. */
  readonly alignmentBytes: number;
  /** Whether the handle was opened with `O_DIRECT`. */
  readonly isDirect: boolean;
  /** Has the kernel zero a range; resolves to `false` where it can't. Without it zeros are written. */
  readonly zeroRange?: (offset: number, sizeBytes: number, signal: AbortSignal) => Promise<boolean>;
  /** Called once, after the handle is closed. */
  readonly afterClose?: () => Promise<void>;
}

// The types of Node declare no WebAssembly.
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => {
    readonly buffer: SharedArrayBuffer;
  };
};

const wasmPageBytes = 65_536;
const zeroBufferBytes = 1024 * 1024;

/** Below it, writing zeros takes less than starting a program. */
const kernelZeroBytes = 8 * 1024 * 1024;

/**
 * A buffer whose memory begins at a page: direct I/O takes it, where Node's own buffers begin anywhere. Worker threads
 * can share it.
 */
export function allocateAligned(sizeBytes: number): Uint8Array<SharedArrayBuffer> {
  const pages = Math.max(1, Math.ceil(sizeBytes / wasmPageBytes));
  return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer, 0, sizeBytes);
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** An opened partition of this machine. Never writes beyond `sizeBytes`, so that a file is never extended. */
export class LinuxBlockDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly alignmentBytes: number;
  /** Whether reads come from the device itself; without direct I/O they may come from the page cache. */
  readonly readsBypassCache: boolean;
  readonly #path: string;
  readonly #handle: BlockHandle;
  readonly #afterClose: () => Promise<void>;
  readonly #closed = new AbortController();
  #zeroRange: LinuxBlockDeviceOptions['zeroRange'];
  #zeros: Uint8Array | undefined;
  #isClosed = false;

  constructor(options: LinuxBlockDeviceOptions) {
    this.sizeBytes = options.sizeBytes;
    this.alignmentBytes = options.alignmentBytes;
    this.readsBypassCache = options.isDirect;
    this.#path = options.path;
    this.#handle = options.handle;
    this.#zeroRange = options.zeroRange;
    this.#afterClose = options.afterClose ?? (() => Promise.resolve());
  }

  allocate(sizeBytes: number): Uint8Array<SharedArrayBuffer> {
    return allocateAligned(sizeBytes);
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#check('write', offset, bytes.byteLength);
    let done = 0;
    while (done < bytes.byteLength) {
      const at = offset + done;
      const { bytesWritten } = await this.#try('write', at, () =>
        this.#handle.write(bytes, done, bytes.byteLength - done, at),
      );
      // A device may take a part; one that takes nothing would keep us here for ever.
      if (bytesWritten === 0) throw this.#error('write', at, 'EIO', 'the device took nothing');
      done += bytesWritten;
    }
  }

  async read(into: Uint8Array, offset: number): Promise<void> {
    this.#check('read', offset, into.byteLength);
    let done = 0;
    while (done < into.byteLength) {
      const at = offset + done;
      const { bytesRead } = await this.#try('read', at, () =>
        this.#handle.read(into, done, into.byteLength - done, at),
      );
      if (bytesRead === 0) throw this.#error('read', at, 'EIO', 'the device ends there');
      done += bytesRead;
    }
  }

  /** By the kernel where the range is long and it can, else by writing zeros. */
  async zero(offset: number, sizeBytes: number): Promise<void> {
    this.#check('zero', offset, sizeBytes);
    if (sizeBytes >= kernelZeroBytes && this.#zeroRange !== undefined) {
      if (await this.#zeroRange(offset, sizeBytes, this.#closed.signal)) return;
      // What failed once is not tried again; a device that is broken says so when zeros are written.
      this.#zeroRange = undefined;
      this.#check('zero', offset, sizeBytes);
    }
    // Zeros are never changed, so one buffer serves all writes.
    this.#zeros ??= this.allocate(zeroBufferBytes);
    for (let done = 0; done < sizeBytes; done += zeroBufferBytes) {
      await this.write(this.#zeros.subarray(0, Math.min(zeroBufferBytes, sizeBytes - done)), offset + done);
    }
  }

  async flush(): Promise<void> {
    this.#check('flush', 0, 0);
    await this.#try('flush', 0, () => this.#handle.datasync());
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closed.abort();
    try {
      await this.#handle.close();
    } finally {
      await this.#afterClose();
    }
  }

  #check(verb: string, offset: number, sizeBytes: number): void {
    if (this.#isClosed) throw this.#error(verb, offset, 'EBADF', 'the device is closed');
    if (offset % this.alignmentBytes !== 0 || sizeBytes % this.alignmentBytes !== 0) {
      throw this.#error(verb, offset, 'EINVAL', `offset or length is no multiple of ${this.alignmentBytes}`);
    }
    if (offset < 0 || offset + sizeBytes > this.sizeBytes) {
      throw this.#error(verb, offset, 'ENOSPC', `it would end beyond the ${this.sizeBytes} bytes of the device`);
    }
  }

  async #try<T>(verb: string, offset: number, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      const errno = errnoOf(cause);
      throw this.#error(verb, offset, errno ?? 'unknown', errno ?? 'the system call failed', cause);
    }
  }

  #error(verb: string, offset: number, errno: string, reason: string, cause?: unknown): PartitionError {
    return new PartitionError('slot-write-failed', `cannot ${verb} ${this.#path} at byte ${offset}: ${reason}`, {
      details: { device: this.#path, offset, errno },
      ...(cause === undefined ? {} : { cause }),
    });
  }
}
