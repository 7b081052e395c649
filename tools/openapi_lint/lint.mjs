// Lints an OpenAPI document with Redocly's recommended rules: node lint.mjs MODULES FILE
// MODULES is the node_modules folder (outside the sources). Exits 1 when there is a problem.
import {createRequire} from 'node:module';
import {resolve} from 'node:path';

const [modules, file] = process.argv.slice(2);
const {createConfig, lint} = createRequire(resolve(modules) + '/')('@redocly/openapi-core');
const config = await createConfig({
  extends: ['recommended'],
  rules: {
    'info-license': 'error',
    'operation-4xx-response': 'off',  // healthz can only answer 200
    'no-server-example.com': 'error',
    'no-unused-components': 'error',
    'operation-description': 'off',   // the summary says it where there is no more to say
    'operation-operationId-unique': 'error',
    'operation-singular-tag': 'error',
    'parameter-description': 'error',
    'path-parameters-defined': 'error',
    'tag-description': 'error',
  },
});
const problems = await lint({ref: resolve(file), config});
for (const p of problems) {
  console.log(`${p.severity} ${p.ruleId}: ${p.message} (${p.location.map((l) => l.pointer).join(', ')})`);
}
process.exit(problems.length === 0 ? 0 : 1);
