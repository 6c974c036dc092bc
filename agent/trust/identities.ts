/** Somebody who signs with certificates of short life: an account or a workflow, as an issuer knows it. */
export interface TrustIdentity {
  /** Its name in the configuration. */
  readonly id: string;
  /** The OpenID issuer, exactly as in the certificate (OID 1.3.6.1.4.1.57264.1.8). */
  readonly issuer: string;
  /** The e-mail address or URI, exactly as in the certificate's subject alternative name. */
  readonly subject: string;
}

/** Whether two are one, however they are called. Both texts are compared exactly, case included. */
export function isSameIdentity(
  one: Pick<TrustIdentity, 'issuer' | 'subject'>,
  other: Pick<TrustIdentity, 'issuer' | 'subject'>,
): boolean {
  return one.issuer === other.issuer && one.subject === other.subject;
}
