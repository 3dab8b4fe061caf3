// nostr-tools' NIP-47: pays an invoice. Its second argument is the connection's URL.

import {decrypt} from 'nostr-tools/nip04'
import {nip47} from 'nostr-tools'
import {SimplePool} from 'nostr-tools/pool'
import {tell, until} from './common.mjs'

const {makeNwcRequestEvent, parseConnectionString} = nip47
const {pubkey, relays, secret} = parseConnectionString(process.argv[3])
const pool = new SimplePool()
const key = Uint8Array.from(Buffer.from(secret, 'hex'))
const request = await makeNwcRequestEvent(pubkey, key, 'lnbc-nip47')
const answers = []
let ready = false
pool.subscribe(
  relays,
  {kinds: [23195], '#e': [request.id]},
  {onevent: event => answers.push(event), oneose: () => (ready = true)}
)
await until(() => ready)
await Promise.all(pool.publish(relays, request))
await until(() => answers.length)
tell('paid', JSON.parse(decrypt(key, pubkey, answers[0].content)))
process.exit(0)
