// @clickhouse/client, ClickHouse's official JavaScript client, reads and writes `weir clickhouse`.
// Usage: connect_clickhouse.mjs URL. Prints `ok` when every assertion held.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { createRequire } from 'node:module'
const { createClient } = createRequire(process.env.WEIR_CLIENTS_NODE + '/')('@clickhouse/client')

for (const compression of [{}, { request: true, response: true }]) {
  const client = createClient({ url: process.argv[2], database: 'analytics', compression })
  assert.equal((await client.ping()).success, true)
  await client.command({ query: 'CREATE OR REPLACE TABLE js (n UInt64, name String) ENGINE = MergeTree ORDER BY n' })

  const rows = Readable.from(
    (function* () {
      for (let n = 0; n < 50_000; n++) yield { n, name: `name ${n}` }
    })(),
    { objectMode: true },
  )
  const inserted = await client.insert({ table: 'js', values: rows, format: 'JSONEachRow' })
  assert.equal(inserted.executed, true)
  assert.equal(Number(inserted.summary?.written_rows), 50_000)

  const one = await client.query({
    query: 'SELECT name FROM js WHERE n = {n: UInt64}',
    query_params: { n: 4321 },
    format: 'JSONEachRow',
    query_id: `js-${compression.request ?? false}`,
  })
  assert.equal(one.query_id, `js-${compression.request ?? false}`)
  assert.deepEqual(await one.json(), [{ name: 'name 4321' }])

  let streamed = 0
  const all = await client.query({ query: 'SELECT n FROM js ORDER BY n', format: 'JSONCompactEachRow' })
  for await (const block of all.stream()) streamed += block.length
  assert.equal(streamed, 50_000)

  await assert.rejects(client.query({ query: 'SELECT * FROM no_such_table' }), (error) => {
    assert.equal(error.code, '60')
    assert.equal(error.type, 'UNKNOWN_TABLE')
    return true
  })
  await client.close()
}
console.log('ok')
