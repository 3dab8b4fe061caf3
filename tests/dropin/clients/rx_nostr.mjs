// rx-nostr: send, a backward request (stored events), a forward request (live ones), and
// go on after the connection was lost. It asks for the NIP-11 document first.

import {
  createRxBackwardReq,
  createRxForwardReq,
  createRxNostr,
  uniq
} from 'rx-nostr'
import {verifyEvent} from 'nostr-tools/pure'
import WebSocket from 'ws'
import {note, pubkey, tell, told, until, url} from './common.mjs'

const rxNostr = createRxNostr({
  verifier: async event => verifyEvent(event),
  websocketCtor: WebSocket,
  retry: {strategy: 'exponential', maxCount: 20, initialDelay: 300}
})
rxNostr.setDefaultRelays([url])

const publish = async content => {
  const event = note(content)
  const answer = await new Promise((done, failed) =>
    rxNostr.send(event).subscribe({next: done, error: failed})
  )
  tell('ok', event.id, answer.ok)
  return event
}

const fetched = filter =>
  new Promise((done, failed) => {
    const request = createRxBackwardReq()
    const events = []
    rxNostr.use(request).subscribe({
      next: packet => events.push(packet.event.id),
      complete: () => done(events),
      error: failed
    })
    request.emit(filter)
    request.over()
  })

const first = await publish('first')
tell('get', (await fetched({ids: [first.id]}))[0])
const seen = []
const forward = createRxForwardReq()
// It asks for everything again when it is back; apps let it sort that out by itself.
rxNostr
  .use(forward)
  .pipe(uniq())
  .subscribe(packet => seen.push(packet.event.id))
forward.emit({kinds: [1], authors: [pubkey, await told()]})
await until(() => seen.includes(first.id))
const second = await publish('second')
await until(() => seen.includes(second.id))
tell('ready to lose the connection')
const missed = JSON.parse(await told())
await until(() => missed.every(id => seen.includes(id)))
const third = await publish('third')
await until(() => seen.includes(third.id))
tell('end', {seen, eoses: 1, found: await fetched({authors: [pubkey]})})
process.exit(0)
