import { test } from 'node:test'
import { everyFault, faults, withoutWaits } from './faults.ts'
import { scenarioNamed } from './scenarios.ts'

const stories = [
  'one item',
  'a download that an earlier process began',
  'a copy that an earlier process filed and did not record',
  'one item of a bucket without conditional deletes',
  'a bucket whose ETags say nothing',
  'a source that goes at once',
  'an object that is missing',
  'two items of one name',
  'a file system that refuses links',
  'a row that is un-approved before it is recorded',
  'bytes that the disk spoils during the grace',
  'an upload that is no media',
].map(scenarioNamed)

for (const fault of faults) {
  for (const scenario of stories) {
    test(`one fault breaks no promise: ${fault.name}, in ${scenario.name}`, async (t) => {
      t.diagnostic(JSON.stringify(await withoutWaits(() => everyFault(scenario, fault))))
    })
  }
}
