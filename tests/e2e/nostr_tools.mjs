// What an app does with nostr-tools' SimplePool, against the endpoint given as argument.
// Prints what happened as one line of JSON; the test judges it.

import {finalizeEvent, generateSecretKey, getPublicKey} from 'nostr-tools/pure'
import {SimplePool, useWebSocketImplementation} from 'nostr-tools/pool'
import WebSocket from 'ws'

useWebSocketImplementation(WebSocket)

const url = process.argv[2]
const secretKey = generateSecretKey()
const pubkey = getPublicKey(secretKey)
const pool = new SimplePool()
const seconds = number => new Promise(done => setTimeout(done, number * 1000))

const publish = async content => {
  const event = finalizeEvent(
    {kind: 1, created_at: Math.floor(Date.now() / 1000), tags: [], content},
    secretKey
  )
  // Rejects where the endpoint says OK false, or nothing in time.
  await Promise.all(pool.publish([url], event))
  return event.id
}

const seen = []
const stored = await publish('stored')
// Long enough for the slowest relay to have it.
await seconds(1)
const subscription = pool.subscribe(
  [url],
  {authors: [pubkey]},
  {
    onevent: event => seen.push(['EVENT', event.id]),
    oneose: () => seen.push(['EOSE']),
    onclose: reasons => seen.push(['CLOSED', reasons])
  }
)
while (!seen.some(([verb]) => verb === 'EOSE')) await seconds(0.05)
const live = await publish('live')
while (!seen.some(([, id]) => id === live)) await seconds(0.05)
// Were there a second EOSE or a second copy, it would have come by now.
await seconds(1)
const found = await pool.querySync([url], {authors: [pubkey]})

console.log(
  JSON.stringify({stored, live, seen, found: found.map(event => event.id)})
)
subscription.close()
pool.destroy()
