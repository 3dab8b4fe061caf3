// A relay made with @nostr-relay/core that keeps its events in memory.
// Usage: node nostr_relay_core.mjs PORT

import {createRequire} from 'node:module'
import {WebSocketServer} from 'ws'

// Both are CommonJS and have to be the same instance.
const require = createRequire(import.meta.url)
const {NostrRelay} = require('@nostr-relay/core')
const {EventRepository} = require('@nostr-relay/common')

const MAX_STORED = 500

function matches(filter, event) {
  const has = (values, value) => !values || values.includes(value)
  const tags = Object.entries(filter).filter(([key]) => key.startsWith('#'))
  return (
    has(filter.ids, event.id) &&
    has(filter.authors, event.pubkey) &&
    has(filter.kinds, event.kind) &&
    event.created_at >= (filter.since ?? 0) &&
    event.created_at <= (filter.until ?? Infinity) &&
    tags.every(([key, values]) =>
      event.tags.some(
        ([name, value]) => name === key[1] && values.includes(value)
      )
    )
  )
}

class Memory extends EventRepository {
  events = new Map()

  isSearchSupported() {
    return false
  }

  upsert(event) {
    const isDuplicate = this.events.has(event.id)
    this.events.set(event.id, event)
    return {isDuplicate}
  }

  find(filter) {
    return [...this.events.values()]
      .filter(event => matches(filter, event))
      .sort((a, b) => b.created_at - a.created_at || (a.id < b.id ? -1 : 1))
      .slice(0, Math.min(filter.limit ?? MAX_STORED, MAX_STORED))
  }

  async destroy() {}
}

const relay = new NostrRelay(new Memory())
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.argv[2])
})
server.on('connection', client => {
  relay.handleConnection(client)
  client.on('message', data => relay.handleMessage(client, JSON.parse(data)))
  client.on('close', () => relay.handleDisconnect(client))
})
