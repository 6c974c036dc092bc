import { z } from 'zod';
import { absolutePath, optional, text, yesOrNo } from './config-values.ts';

const hostPattern = '(\\[[0-9a-f:.]+\\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:[0-9]{1,5})?';
const pathPattern = '[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*';

const host = z.string().regex(new RegExp(`^${hostPattern}$`), 'want host[:port] in lower case, without https://');

const location = z
  .string('want HOST[:PORT][/PATH], or a map with location')
  .max(255, 'want at most 255 characters')
  .regex(
    new RegExp(`^${hostPattern}(/${pathPattern})?$`),
    'want HOST[:PORT] or HOST[:PORT]/PATH in lower case, without https://',
  );

const prefix = z
  .string('want a repository below the registry, such as os')
  .max(255, 'want at most 255 characters')
  .regex(
    new RegExp(`^${pathPattern}$`),
    'want a repository below the registry, such as os/edge, with no / at its ends',
  );

const mirror = z
  .union(
    [
      location.transform((only) => ({ location: only, prefix: undefined, tags: false })),
      z.strictObject({ location, prefix: optional(prefix), tags: yesOrNo(false) }),
    ],
    'want HOST[:PORT][/PATH], or a map of location, prefix and tags',
  )
  .transform(({ location: where, prefix: below, tags }) => {
    const [registry = '', ...path] = where.split('/');
    return { registry, path: path.join('/'), prefix: below ?? '', isTagged: tags };
  });

const registry = z
  .strictObject({
    authFile: optional(absolutePath),
    authHosts: z.array(host, 'want a list of hosts').max(16, 'want at most 16 hosts').default([]),
    caFile: optional(absolutePath),
    clientCertFile: optional(absolutePath),
    clientKeyFile: optional(absolutePath),
    insecureHttp: yesOrNo(false),
    proxy: optional(z.url({ protocol: /^https?$/, error: 'want a proxy URL such as http://proxy.acme.io:3128' })),
    noProxy: z.array(text, 'want a list of hosts').max(64, 'want at most 64 hosts').default([]),
    mirrors: z.array(mirror, 'want a list').max(16, 'want at most 16 mirrors').default([]),
  })
  .refine(({ clientCertFile, clientKeyFile }) => (clientCertFile === undefined) === (clientKeyFile === undefined), {
    path: ['clientKeyFile'],
    message: 'want clientCertFile and clientKeyFile, or neither',
  })
  .transform(({ insecureHttp, ...rest }) => ({ ...rest, isInsecureHttpAllowed: insecureHttp }));

/** How registries are reached, by `host[:port]`. */
export const registriesSchema = z.record(host, registry, 'want a map by host');

/** The registries.conf of containers' tools; `null`: it is not read. */
export const registriesConfSchema = z
  .union([absolutePath, z.null()], 'want an absolute path, or null')
  .default('/etc/containers/registries.conf')
  .transform((path) => path ?? undefined);
