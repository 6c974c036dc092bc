/** Where the image keeps its defaults and its trust policy. */
export const imageConfigFile = '/usr/lib/kaon/kaon.yaml';

/** Where the node's configuration is unless it is named. */
export const nodeConfigFile = '/etc/kaon/kaon.yaml';
