// What an app does with nostr-fetch: it reads a history page by page, backwards in time.
// Arguments: the endpoint, an author, the size of a page. Prints the ids as JSON.

import {NostrFetcher} from 'nostr-fetch'
import WebSocket from 'ws'

const [url, author, size] = process.argv.slice(2)
const fetcher = NostrFetcher.init({webSocketConstructor: WebSocket})
const events = await fetcher.fetchAllEvents(
  [url],
  {kinds: [1], authors: [author]},
  {},
  {limitPerReq: Number(size)}
)
console.log(JSON.stringify(events.map(event => event.id)))
fetcher.shutdown()
