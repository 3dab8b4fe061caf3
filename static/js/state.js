// What the REST interface says about relays, in the words of the page.

// What is called `connected_string` there. The texts are nostrclient.state_….
const STATES = {
  connected: {name: 'connected', icon: 'check_circle', color: 'positive'},
  connecting: {name: 'connecting', icon: 'sync', color: 'info'},
  waiting: {name: 'retrying', icon: 'schedule', color: 'warning'},
  penalised: {name: 'penalised', icon: 'block', color: 'red'},
  stopped: {name: 'stopped', icon: 'stop_circle', color: 'grey'}
}
const DISABLED = {name: 'disabled', icon: 'pause_circle', color: 'grey'}

// A row of the table. `now` is in Unix seconds.
function describe(relay, now) {
  const status = relay.status || {}
  const state =
    relay.active === false
      ? DISABLED
      : STATES[relay.connected_string] || STATES.stopped
  const isWaiting = ['retrying', 'penalised'].includes(state.name)
  const said = (items, texts) => items || (texts || []).map(text => ({text}))
  const errors = said(status.errors, status.error_list)
  return {
    url: relay.url,
    active: relay.active !== false,
    read: relay.read !== false,
    write: relay.write !== false,
    state,
    ping: relay.ping || null,
    received: status.num_received_events || 0,
    sent: status.num_sent_events || 0,
    retryAt: isWaiting ? now + (status.retry_in_seconds || 0) : 0,
    errorCount: status.error_counter || 0,
    errors,
    notices: said(status.notices, status.notice_list),
    since: status.since || null, // Unix seconds: when this state began
    roundTrips: status.round_trips_ms || [],
    information: status.information || null, // NIP-11
    asksWhoWeAre: Boolean(status.asks_who_we_are), // NIP-42
    connections: status.connections || 0,
    subscriptions: status.num_subscriptions || 0,
    owed: status.num_owed_events || 0,
    dropped: status.num_dropped_events || 0,
    duplicates: status.num_duplicate_events || 0,
    unasked: status.num_unasked_events || 0,
    invalid: status.num_invalid_messages || 0,
    // Why it is not connected, as far as anybody knows.
    trouble: isWaiting ? errors[0]?.text : null
  }
}

// The rows after something was told of some relays; those of the others are the same
// objects as before, so that only what has changed is drawn again.
export function changed(rows, {relays = [], removed = []}, now) {
  const found = new Map(rows.map(row => [row.url, row]))
  removed.forEach(url => found.delete(url))
  relays.forEach(relay => found.set(relay.url, describe(relay, now)))
  return Object.freeze([...found.values()])
}

// Whether Nostr works, in one line: the text is nostrclient.summary_….
export function summary(relays) {
  if (!relays) return {name: 'loading', icon: 'hourglass_empty', color: 'grey'}
  const wanted = relays.filter(relay => relay.state.name !== DISABLED.name)
  const connected = wanted.filter(relay => relay.state.name === 'connected')
  const numbers = {connected: connected.length, total: wanted.length}
  if (!wanted.length) {
    return {name: 'none', icon: 'info', color: 'grey', numbers}
  }
  if (connected.length === wanted.length) {
    return {name: 'all', icon: 'check_circle', color: 'positive', numbers}
  }
  if (connected.length) {
    return {name: 'some', icon: 'warning', color: 'warning', numbers}
  }
  if (wanted.every(relay => relay.state.name === 'connecting')) {
    return {name: 'connecting', icon: 'sync', color: 'info', numbers}
  }
  return {name: 'down', icon: 'error', color: 'red', numbers}
}
