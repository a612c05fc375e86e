// Installs Directus' packages with pnpm. Some registries lack the version of one of Directus' own packages (@directus/app
// 18.0.1, which 12.4.1 depends on); it is replaced by the newest earlier one of the same major version. The file
// substitutes.json, for finish.mjs, names both.
//
// Usage: node install.mjs ARGUMENT...; the arguments are those of `pnpm install`.

import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, writeFileSync } from 'node:fs';

const MISSING = /No matching version found for (@directus\/[a-z-]+)@([0-9]+\.[0-9]+\.[0-9]+)\s/;

const substitutes = {};
for (;;) {
	const { status, stdout, stderr } = spawnSync('pnpm', ['install', ...process.argv.slice(2)], { encoding: 'utf8' });
	process.stdout.write(stdout + stderr);
	if (status === 0) break;
	const [, name, version] = MISSING.exec(stdout + stderr) ?? [];
	// A second failure for the same package is one that no substitute cures.
	if (name === undefined || name in substitutes) process.exit(status ?? 1);
	const found = newestBefore(name, version);
	if (Object.keys(substitutes).length === 0) appendFileSync('pnpm-workspace.yaml', 'overrides:\n');
	appendFileSync('pnpm-workspace.yaml', `  '${name}': ${found}\n`);
	substitutes[name] = `${found} instead of ${version}`;
	console.log(`the registry has no ${name} ${version}: using ${found}`);
}
writeFileSync('substitutes.json', JSON.stringify(substitutes));

/** Returns the newest version of a package that is older than this one, and of the same major version. */
function newestBefore(name, version) {
	const numbers = (text) => text.split('.').map(Number);
	const compare = (one, other) => one.map((number, index) => number - other[index]).find((sign) => sign !== 0) ?? 0;
	const all = [JSON.parse(execFileSync('npm', ['view', name, 'versions', '--json'], { encoding: 'utf8' }))].flat();
	const older = all
		.filter((candidate) => /^[0-9.]+$/.test(candidate) && candidate.split('.')[0] === version.split('.')[0])
		.filter((candidate) => compare(numbers(candidate), numbers(version)) < 0)
		.sort((one, other) => compare(numbers(one), numbers(other)));
	if (older.length === 0) throw new Error(`the registry has no version of ${name} in place of ${version}`);
	return older.at(-1);
}
