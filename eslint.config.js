import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/**
 * The arrows of the design, one block per folder: each folder names the only folders of the project that it may import.
 * `type:` allows types alone.
 */
const arrows = [
  { folder: 'bootloader', values: [], types: [] },
  { folder: 'partitions', values: [], types: [] },
  { folder: 'agent/core', values: [], types: ['bootloader', 'partitions'] },
  { folder: 'agent/config', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  { folder: 'agent/oci', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  { folder: 'agent/trust', values: ['agent/core', 'partitions'], types: ['bootloader'] },
  { folder: 'agent/health', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  { folder: 'agent/checkd', values: ['agent/core'], types: ['bootloader', 'partitions', 'agent/health'] },
  { folder: 'agent/evidence', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  { folder: 'agent/store', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  { folder: 'agent/systemd', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  { folder: 'agent/host', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  { folder: 'agent/slotd', values: ['agent/core', 'partitions', 'bootloader'], types: [] },
  { folder: 'agent/update', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  { folder: 'agent/fleet', values: ['agent/core'], types: [] },
  { folder: 'agent/api', values: ['agent/core'], types: ['bootloader', 'partitions'] },
  {
    folder: 'agent/image',
    values: ['agent/core', 'agent/oci', 'agent/trust', 'partitions'],
    types: ['bootloader'],
  },
  { folder: 'agent/cli', values: ['agent/core', 'agent/image', 'agent/config'], types: ['agent/api', 'bootloader'] },
  // A part of the composition roots: it may import all, and nobody but the roots imports it.
  { folder: 'agent/compose', isRoot: true },
];

const folders = arrows.map((arrow) => arrow.folder);

function importBlock({ folder, isRoot = false, values = isRoot ? folders : [], types = [] }) {
  const forbidden = folders.filter((other) => other !== folder);
  const patterns = forbidden
    .filter((other) => !values.includes(other))
    .map((other) => ({
      regex: `^\\.\\.?/(.*/)?${other.replace('agent/', '')}/`,
      allowTypeImports: types.includes(other),
      message: `${folder} may not import ${other}${types.includes(other) ? ' (types only)' : ''}: see DESIGN, arrows.`,
    }));
  patterns.push({ regex: '/test/', message: 'product code may not import tests.' });
  return {
    files: [`${folder}/**/*.ts`],
    rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns }] },
  };
}

const pureCore = {
  files: ['agent/core/**/*.ts', 'agent/trust/**/*.ts'],
  rules: {
    'no-restricted-globals': ['error', 'process', 'setTimeout', 'setInterval', 'setImmediate', 'fetch'],
    'no-restricted-properties': [
      'error',
      { object: 'Date', property: 'now', message: 'time comes in by events and arguments.' },
      { object: 'Math', property: 'random', message: 'randomness comes in by a port.' },
    ],
    'no-restricted-syntax': [
      'error',
      {
        selector: "ImportDeclaration[importKind!='type'][source.value=/^node:(?!crypto$)/]",
        message: 'this folder is pure: bytes in, decisions out.',
      },
    ],
  },
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/require-await': 'off',
      'max-lines': ['error', { max: 300 }],
      'max-lines-per-function': ['error', { max: 50, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { ignoreRestSiblings: true, argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      eqeqeq: 'error',
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: { 'max-lines-per-function': 'off', 'max-lines': 'off', '@typescript-eslint/no-non-null-assertion': 'off' },
  },
  {
    files: ['**/*.js'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
  ...arrows.map(importBlock),
  pureCore,
);
