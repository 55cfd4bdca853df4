// SPDX-License-Identifier: Apache-2.0
//
// Asks @cloud-copilot/iam-simulate, which lies in the folder that the first argument names. Reads a list of simulations
// from stdin and writes a list of answers: Allowed, ImplicitlyDenied, ExplicitlyDenied, or the error.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { runSimulation } = createRequire(process.argv[2] + '/')('@cloud-copilot/iam-simulate')
const answers = []
for (const simulation of JSON.parse(readFileSync(0, 'utf8'))) {
  const answer = await runSimulation(simulation, {})
  answers.push(answer.resultType === 'error' ? 'error: ' + JSON.stringify(answer.errors) : answer.overallResult)
}
process.stdout.write(JSON.stringify(answers))
