// nostr-tools' SimplePool: authenticate whenever a relay asks for it (NIP-42), and listen
// for the gift wraps of a key. Arguments: the endpoint, our private key, that key.

import {SimplePool} from 'nostr-tools/pool'
import {finalizeEvent} from 'nostr-tools/pure'
import {hexToBytes} from 'nostr-tools/utils'
import {tell, told, until, url} from './common.mjs'

const [secret, recipient] = process.argv.slice(3)
const sign = async template => finalizeEvent(template, hexToBytes(secret))
const pool = new SimplePool({automaticallyAuth: () => sign})
const events = []
let eoses = 0
pool.subscribe(
  [url],
  {kinds: [1059], '#p': [recipient]},
  {onevent: event => events.push(event.id), oneose: () => eoses++}
)
const relay = await pool.ensureRelay(url)
await until(() => relay.challenge)
// The outcome of the AUTH that was sent already; rejects where it was refused.
await relay.auth(sign)
tell('authenticated')
await until(() => eoses > 0)
tell('eose')
while ((await told()) === 'events') tell('events', events)
process.exit(0)
