import { open } from 'node:fs/promises';

/** Where the parts of a TLS connection lie; read at each attempt, as certificates are renewed while a node runs. */
export interface TlsSettings {
  /** PEM certificates that are trusted in place of the public roots. */
  readonly caFile?: string | undefined;
  readonly clientCertificateFile?: string | undefined;
  readonly clientKeyFile?: string | undefined;
  /** Takes any certificate. */
  readonly isInsecure?: boolean | undefined;
}

/** What `node:https` takes. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized: boolean;
}

const limitBytes = 1024 * 1024;

/** Reads what `settings` name. Rejects with what is wrong with which file. */
export async function readTlsOptions(settings: TlsSettings): Promise<TlsOptions> {
  const { caFile, clientCertificateFile, clientKeyFile, isInsecure } = settings;
  return {
    rejectUnauthorized: isInsecure !== true,
    ...(caFile === undefined ? {} : { ca: await readBounded(caFile) }),
    ...(clientCertificateFile === undefined ? {} : { cert: await readBounded(clientCertificateFile) }),
    ...(clientKeyFile === undefined ? {} : { key: await readBounded(clientKeyFile) }),
  };
}

/** The text of a file of at most 1 MiB. Rejects with an error that names it. */
export async function readBounded(path: string): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > limitBytes) throw new Error(`it has ${size} bytes, the limit is ${limitBytes}`);
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new Error(`cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
