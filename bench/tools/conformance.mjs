// What of the suite in the folder SUITE passed: node conformance.mjs SUITE NAME=RESULTS...
// Prints JSON.  "check" cases only ask what a cache does, so nothing is counted of them.
// With dependencies: as the suite's pages count, a case is passed only if those that it depends on
// are.

import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [folder, ...contestants] = process.argv.slice(2)
const index = await import(pathToFileURL(path.resolve(folder, 'tests/index.mjs')))

// Cases for browsers' own caches are not for one in front of a server.
const cases = index.default
  .flatMap(suite => suite.tests.map(test => ({ ...test, suite: suite.id })))
  .filter(test => !test.browser_only && test.kind !== 'check')

const dependencies = new Map(index.default
  .flatMap(suite => suite.tests.map(test => [test.id, test.depends_on ?? []])))

const report = contestants.map(contestant => {
  const [name, file] = contestant.split('=')
  const results = JSON.parse(fs.readFileSync(file, 'utf8'))
  const kindOf = test => test.kind === 'optimal' ? 'optional' : 'required'
  const of = kind => cases.filter(test => kindOf(test) === kind)
  const passes = id => results[id] === true
  const passesWithDependencies = id =>
    passes(id) && (dependencies.get(id) ?? []).every(passesWithDependencies)
  const count = (kind, passes) => of(kind).filter(test => passes(test.id)).length
  return {
    name,
    required: of('required').length,
    required_passed: count('required', passes),
    required_with_dependencies: count('required', passesWithDependencies),
    optional: of('optional').length,
    optional_passed: count('optional', passes),
    optional_with_dependencies: count('optional', passesWithDependencies),
    failed: ['required', 'optional'].flatMap(kind => of(kind).filter(test => !passes(test.id))
      .map(test => {
        const why = results[test.id]?.[1] ?? 'not run'
        return { kind, suite: test.suite, id: test.id, why }
      }))
  }
})

console.log(JSON.stringify(report, null, 2))
