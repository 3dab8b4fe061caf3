// nostr-tools' SimplePool: publish, get, querySync, subscribe, and go on after the
// connection was lost.

import {SimplePool} from 'nostr-tools/pool'
import {note, pubkey, tell, told, until, url} from './common.mjs'

const pool = new SimplePool({enableReconnect: true, enablePing: true})
const publish = async content => {
  const event = note(content)
  // Rejects where the endpoint says OK false, or nothing in time.
  tell('ok', event.id, await Promise.all(pool.publish([url], event)))
  return event
}

const first = await publish('first')
tell('get', (await pool.get([url], {ids: [first.id]}))?.id)
const seen = []
let eoses = 0
pool.subscribe(
  [url],
  {authors: [pubkey, await told()]},
  {onevent: event => seen.push(event.id), oneose: () => eoses++}
)
await until(() => eoses > 0)
const second = await publish('second')
await until(() => seen.includes(second.id))
tell('ready to lose the connection')
const missed = JSON.parse(await told())
await until(() => missed.every(id => seen.includes(id)))
const third = await publish('third')
await until(() => seen.includes(third.id))
const found = await pool.querySync([url], {authors: [pubkey]})
tell('end', {seen, eoses, found: found.map(event => event.id)})
process.exit(0)
