// Draws a graph in Graphviz's language, from standard input, as SVG. Its argument is the path of the package @viz-js/viz,
// which is Graphviz as WebAssembly: the same version on every machine, and nothing to install as root.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const { instance } = await import(pathToFileURL(process.argv[2]));
const { status, output, errors } = (await instance()).render(readFileSync(0, 'utf8'), { format: 'svg', engine: 'dot' });
for (const { level, message } of errors) console.error(`${level}: ${message}`);
if (status !== 'success') process.exit(1);
process.stdout.write(output);
