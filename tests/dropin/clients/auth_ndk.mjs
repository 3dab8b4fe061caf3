// NDK: authenticate whenever a relay asks for it (NIP-42), and listen for the gift wraps
// of a key. Arguments: the endpoint, our private key, that key.

import NDK, {
  NDKPrivateKeySigner,
  NDKRelayAuthPolicies
} from '@nostr-dev-kit/ndk'
import {tell, told, until, url} from './common.mjs'

const [secret, recipient] = process.argv.slice(3)
const ndk = new NDK({
  explicitRelayUrls: [url],
  enableOutboxModel: false,
  signer: new NDKPrivateKeySigner(secret)
})
ndk.relayAuthDefaultPolicy = NDKRelayAuthPolicies.signIn({ndk})
const authed = new Promise(done => ndk.pool.on('relay:authed', done))
const events = []
let eoses = 0
const subscription = ndk.subscribe(
  {kinds: [1059], '#p': [recipient]},
  {closeOnEose: false}
)
subscription.on('event', event => events.push(event.id))
subscription.on('eose', () => eoses++)
await ndk.connect(5000)
await authed // an AUTH that is refused ends the program with an unhandled rejection
tell('authenticated')
await until(() => eoses > 0)
tell('eose')
while ((await told()) === 'events') tell('events', events)
process.exit(0)
