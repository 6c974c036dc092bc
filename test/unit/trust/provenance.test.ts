import { describe, expect, it } from 'vitest';
import type { AttestationEnvelope, SignatureEvidence } from '../../../agent/core/ports.ts';
import { RuleTrustPolicy } from '../../../agent/trust/trust-policy.ts';
import type { ProvenanceRule } from '../../../agent/trust/trust-rules.ts';
import { sampleImage } from '../../fakes/sample-image.ts';
import { dsseEnvelope, keyBundle, makeSigner, signatureStatement, type TestSigner } from '../../fakes/signer.ts';
import { codeOf, resolved, trustKey } from './samples.ts';

const [release, builder, stranger] = [makeSigner('ed25519'), makeSigner('ecdsa-p256'), makeSigner('ecdsa-p256')];
const image = sampleImage(['v1']);
const { digest } = image.manifest;
const signature = release.signImage(digest);
const commit = '0123456789abcdef0123456789abcdef01234567';
const repository = 'https://github.com/acme/os';
const ref = 'refs/heads/main';

/** As GitHub's workflows state it. */
const predicate = {
  buildDefinition: {
    buildType: 'https://actions.github.io/buildtypes/workflow/v1',
    externalParameters: {
      workflow: { repository, ref, path: '.github/workflows/release.yml' },
      inputs: null,
      vars: {},
    },
    internalParameters: { github: { event_name: 'push' } },
    resolvedDependencies: [{ uri: `git+${repository}@${ref}`, digest: { gitCommit: commit } }],
  },
  runDetails: { builder: { id: 'https://github.com/actions/runner/github-hosted' }, metadata: { invocationId: 'x' } },
};

const rule: ProvenanceRule = {
  keys: ['builder'],
  identities: [],
  builderId: 'https://github.com/actions/runner/github-hosted',
  buildType: 'https://actions.github.io/buildtypes/workflow/v1',
  sourceRepository: repository,
  sourceRef: ref,
  parameters: { 'workflow.path': '.github/workflows/release.yml' },
};

function policyOf(changes: Partial<ProvenanceRule> = {}, revoked: readonly string[] = []): RuleTrustPolicy {
  return new RuleTrustPolicy({
    keys: [trustKey('release', release), trustKey('builder', builder)],
    revoked,
    rules: [
      {
        prefix: 'registry.test',
        require: { keys: ['release'], atLeast: 1 },
        isDowngradeAllowed: false,
        provenance: { ...rule, ...changes },
      },
    ],
  });
}

interface Stated {
  readonly of?: string;
  readonly by?: TestSigner;
  readonly statement?: object;
}

function statementOf(stated: unknown, { of = digest, statement = {} }: Stated): Buffer {
  const predicateType = 'https://slsa.dev/provenance/v1';
  return signatureStatement(of, { predicateType, predicate: stated, ...statement });
}

function bundle(stated: unknown = predicate, how: Stated = {}): SignatureEvidence {
  return keyBundle(how.by ?? builder, statementOf(stated, how));
}

function attestation(stated: unknown = predicate, how: Stated = {}): AttestationEnvelope {
  const envelope = dsseEnvelope('application/vnd.in-toto+json', statementOf(stated, how), [how.by ?? builder]);
  return { envelope: new Uint8Array(Buffer.from(JSON.stringify(envelope))), source: 'x.att' };
}

function judge(evidence: readonly SignatureEvidence[], changes: Partial<ProvenanceRule> = {}) {
  return policyOf(changes).judge({ image: resolved(image), signatures: [signature, ...evidence] }).provenance;
}

const verdictOf = (evidence: readonly SignatureEvidence[], changes: Partial<ProvenanceRule> = {}) =>
  codeOf(() => judge(evidence, changes));

/** The predicate with other external parameters. */
function withParameters(externalParameters: object, resolvedDependencies: readonly object[] = []): object {
  return { ...predicate, buildDefinition: { ...predicate.buildDefinition, externalParameters, resolvedDependencies } };
}

const verified = {
  builderId: rule.builderId,
  buildType: rule.buildType,
  sourceRepository: repository,
  sourceRef: ref,
  sourceCommit: commit,
  signerId: 'builder',
};

describe('provenance that a rule wants', () => {
  it('is taken from a bundle or an attestation by the signer of the builder, with its facts', () => {
    expect(judge([bundle()])).toEqual(verified);
    expect(judge([attestation()])).toEqual(verified);
    const statement = { _type: 'https://in-toto.io/Statement/v0.1' };
    expect(judge([attestation(predicate, { statement })])).toEqual(verified);
  });

  it('is missing where there is none, and the signature of the image does not make up for it', () => {
    expect(verdictOf([])).toBe('provenance-untrusted');
    expect(verdictOf([keyBundle(builder, signatureStatement(digest))])).toBe('provenance-untrusted');
  });

  it('does not make up for the signature of the image', () => {
    const signatures = [bundle(), attestation()];
    expect(codeOf(() => policyOf().judge({ image: resolved(image), signatures }))).toBe('signer-untrusted');
    expect(codeOf(() => policyOf().judge({ image: resolved(image), signatures: [attestation()] }))).toBe(
      'signature-missing',
    );
  });

  it.each<[string, unknown, Stated]>([
    ['by somebody else', predicate, { by: stranger }],
    ['by a signer of the image who is none of the builder', predicate, { by: release }],
    ['of another image', predicate, { of: `sha256:${'0b'.repeat(32)}` }],
    ['of another version', predicate, { statement: { predicateType: 'https://slsa.dev/provenance/v0.2' } }],
    ['by another builder', { ...predicate, runDetails: { builder: { id: `${rule.builderId}-not` } } }, {}],
    [
      'of another type of build',
      { ...predicate, buildDefinition: { ...predicate.buildDefinition, buildType: 'x' } },
      {},
    ],
    [
      'from another repository',
      withParameters({ workflow: { repository: `${repository}-fork`, ref, path: rule.parameters['workflow.path'] } }),
      {},
    ],
    [
      'from another ref',
      withParameters({ workflow: { repository, ref: 'refs/heads/mainly', path: rule.parameters['workflow.path'] } }),
      {},
    ],
    ['by another workflow', withParameters({ workflow: { repository, ref, path: '.github/workflows/evil.yml' } }), {}],
    ['without a parameter that the rule names', withParameters({ workflow: { repository, ref } }), {}],
    [
      'with a parameter that the rule does not name',
      withParameters({ ...predicate.buildDefinition.externalParameters, inputs: { debug: true } }),
      {},
    ],
    [
      'with a parameter in a list',
      withParameters({ ...predicate.buildDefinition.externalParameters, inputs: ['x'] }),
      {},
    ],
    [
      'with a name that looks like a path',
      withParameters({ workflow: { repository, ref }, 'workflow.path': rule.parameters['workflow.path'] }),
      {},
    ],
    [
      'with parameters that are too deep',
      withParameters({ a: { b: { c: { d: { e: { f: { g: { h: { i: 1 } } } } } } } } }),
      {},
    ],
    ['without a source', withParameters({}), {}],
    ['that is nothing', null, {}],
    ['without run details', { ...predicate, runDetails: undefined }, {}],
  ])('%s does not count', (_what, stated, how) => {
    for (const evidence of [bundle(stated, how), attestation(stated, how)]) {
      expect(verdictOf([evidence])).toBe('provenance-untrusted');
      expect(judge([evidence, bundle()])).toEqual(verified);
    }
  });

  it('is not put together from two statements', () => {
    const otherSource = withParameters({
      workflow: { repository: 'https://evil.test', ref, path: rule.parameters['workflow.path'] },
    });
    expect(verdictOf([bundle(otherSource), bundle(predicate, { by: stranger })])).toBe('provenance-untrusted');
  });

  it('does not count by a signer who is revoked', () => {
    const judging = () =>
      policyOf({}, ['builder']).judge({ image: resolved(image), signatures: [signature, bundle()] });
    expect(codeOf(judging)).toBe('provenance-untrusted');
    expect(judging).toThrow(/revoked/);
  });

  it('may come from any ref where the rule names none', () => {
    const path = rule.parameters['workflow.path'];
    const stated = withParameters({ workflow: { repository, ref: 'refs/tags/v2', path } });
    expect(judge([bundle(stated)], { sourceRef: undefined })).toMatchObject({ sourceRef: 'refs/tags/v2' });
  });

  it.each<[string, object, readonly object[]]>([
    ['a URI', { source: `git+${repository}@${ref}` }, []],
    ['a URI with its digest', { source: { uri: `git+${repository}@${ref}`, digest: { sha1: commit } } }, []],
    ['repository and ref', { repository, ref }, []],
    [
      'the one dependency from git',
      {},
      [{ uri: `git+${repository}@${ref}`, digest: { gitCommit: commit } }, { uri: 'pkg:deb/x' }],
    ],
  ])('has its source in %s', (_what, parameters, dependencies) => {
    const stated = withParameters(parameters, dependencies);
    expect(judge([bundle(stated)], { parameters: {} })).toMatchObject({ sourceRepository: repository, sourceRef: ref });
  });

  it('has no source where two dependencies are from git', () => {
    const dependencies = [`git+${repository}@${ref}`, 'git+https://evil.test@main'].map((uri) => ({ uri }));
    expect(verdictOf([bundle(withParameters({}, dependencies))], { parameters: {} })).toBe('provenance-untrusted');
  });

  it('is explained, finding by finding, and says in words what does not fit', () => {
    const otherRef = withParameters({
      workflow: { repository, ref: 'refs/heads/dev', path: rule.parameters['workflow.path'] },
    });
    const signatures = [signature, bundle(otherRef), attestation(predicate, { by: stranger })];
    const { provenance, verdict } = policyOf().explain({ image: resolved(image), signatures });
    expect(provenance?.map(({ result }) => result)).toEqual(['mismatch', 'no-key-fits']);
    expect(verdict).toMatchObject({
      isTrusted: false,
      reason: expect.stringContaining('its source ref is "refs/heads/dev", want "refs/heads/main"') as string,
    });
  });
});
