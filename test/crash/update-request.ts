import type { UpdateRequest } from '../../agent/core/update-state.ts';

/** What the operator of a life asks for: the image `new`, to the end. */
export const updateToNew: UpdateRequest = {
  id: 'update-1',
  kind: 'install',
  image: 'registry.acme.io/os/edge:new',
  from: undefined,
  until: 'committed',
  requestedAtMs: 1,
  requestedBy: 'operator',
};
