// NDK: publish, fetch, subscribe, and go on after the connection was lost.

import NDK, {NDKEvent, NDKPrivateKeySigner} from '@nostr-dev-kit/ndk'
import {bytesToHex} from 'nostr-tools/utils'
import {pubkey, secretKey, tell, told, until, url} from './common.mjs'

const ndk = new NDK({
  explicitRelayUrls: [url],
  enableOutboxModel: false,
  signer: new NDKPrivateKeySigner(bytesToHex(secretKey))
})
await ndk.connect(5000)

const publish = async content => {
  const event = new NDKEvent(ndk, {kind: 1, content})
  const relays = await event.publish() // rejects where no relay accepts in time
  tell('ok', event.id, relays.size)
  return event
}

const first = await publish('first')
tell('get', (await ndk.fetchEvent({ids: [first.id]}))?.id)
const filter = {kinds: [1], authors: [pubkey, await told()]}
const seen = []
let eoses = 0
const listen = () => {
  const subscription = ndk.subscribe(filter, {closeOnEose: false})
  subscription.on(
    'event',
    event => seen.includes(event.id) || seen.push(event.id)
  )
  subscription.on('eose', () => eoses++)
}
listen()
await until(() => eoses > 0)
const second = await publish('second')
await until(() => seen.includes(second.id))
tell('ready to lose the connection')
// NDK connects again by itself, but leaves it to the app to subscribe again.
const connected = () => ndk.pool.connectedRelays().length > 0
await until(() => !connected())
await until(connected)
eoses = 0
listen()
const missed = JSON.parse(await told())
await until(() => missed.every(id => seen.includes(id)))
const third = await publish('third')
await until(() => seen.includes(third.id))
const found = await ndk.fetchEvents({kinds: [1], authors: [pubkey]})
tell('end', {seen, eoses, found: [...found].map(event => event.id)})
process.exit(0)
