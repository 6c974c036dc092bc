// Parses on Node 12, so that an old Node gets words instead of a syntax error.
import { existsSync } from 'fs';

const wantedMajor = 24;

/** Where the code of `name` is: the sources of a development tree, else what the build made. */
function findCode(name) {
  const source = new URL('../agent/' + name + '.ts', import.meta.url);
  const built = new URL('../dist/agent/' + name + '.js', import.meta.url);
  const isBuiltWanted = process.env.KAON_RUN === 'built';
  return !isBuiltWanted && existsSync(source) ? source : built;
}

/** Runs the program `name` of kaon, or says on stderr why this Node can't and exits with 78 (sysexits EX_CONFIG). */
export function launch(name) {
  const major = Number(process.versions.node.split('.')[0]);
  if (!(major >= wantedMajor)) {
    process.stderr.write(
      name +
        ': cannot start: this is Node ' +
        process.versions.node +
        ', kaon needs Node ' +
        wantedMajor +
        ' or newer\n',
    );
    process.stderr.write(
      'fix: install Node ' +
        wantedMajor +
        ', or run it through npm (npm exec ' +
        name +
        '), which brings the exact binary along\n',
    );
    process.exit(78);
  }
  const code = findCode(name);
  if (!existsSync(code)) {
    process.stderr.write(name + ': cannot start: ' + code.pathname + ' does not exist\n');
    process.stderr.write('fix: run node package/build.ts, or install the package again\n');
    process.exit(78);
  }
  return import(code.href);
}
