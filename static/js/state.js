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
// Connected, but not of use for all that it is switched on for.
const USELESS = {name: 'connected', icon: 'error', color: 'warning'}

const NO_CONNECTION = {
  name: 'no_connection',
  icon: 'schedule',
  color: 'grey'
}

// The state of a connection, as REST calls it, in the page's words and colours.
export const connectionState = name =>
  name === 'no_connection' ? NO_CONNECTION : STATES[name] || STATES.stopped

const WAITING_SECONDS = 60 // after which an event in the outbox is worth a word
const LATELY_SECONDS = 86400

// A row of the table. `now` is in Unix seconds.
function describe(relay, now) {
  const status = relay.status || {}
  const said = (items, texts) => items || (texts || []).map(text => ({text}))
  const errors = said(status.errors, status.error_list)
  const row = {
    url: relay.url,
    active: relay.active !== false,
    read: relay.read !== false,
    write: relay.write !== false,
    route: relay.route || 'default',
    ping: relay.ping || null,
    received: status.num_received_events || 0,
    accepted: status.num_accepted_events || 0,
    sent: status.num_sent_events || 0,
    errorCount: status.error_counter || 0,
    errors,
    notices: said(status.notices, status.notice_list),
    since: status.down_since || status.since || null, // Unix seconds
    isDown: Boolean(status.down_since),
    roundTrips: status.round_trips_ms || [],
    information: status.information || null, // NIP-11
    limits: status.limits || {},
    extension: status.extension || '', // that added it and alone uses it
    asksWhoWeAre: Boolean(status.asks_who_we_are), // NIP-42
    auth: status.auth || 'not_asked',
    authMessage: status.auth_message || '',
    wantedKeys: status.wanted_keys || [], // for what it withholds
    publishing: status.publishing || 'unknown',
    receiving: status.receiving || 'unknown',
    refused: status.refused_events || {},
    refusals: status.refusals || [],
    unanswered: status.num_unanswered_events || 0,
    finished: status.num_finished_requests || 0,
    closed: status.closed_requests || {},
    closings: status.closings || [],
    unansweredRequests: status.num_unanswered_requests || 0,
    connections: status.connections || 0,
    subscriptions: status.num_subscriptions || 0,
    owed: status.num_owed_events || 0,
    dropped: status.num_dropped_events || 0,
    duplicates: status.num_duplicate_events || 0,
    unasked: status.num_unasked_events || 0,
    invalid: status.num_invalid_messages || 0
  }
  const known = STATES[relay.connected_string] || STATES.stopped
  const isWaiting = ['retrying', 'penalised'].includes(known.name)
  const problems = row.active && known === STATES.connected ? faults(row) : []
  const connected = problems.length ? USELESS : known
  return {
    ...row,
    problems,
    notes: notes(row.information?.limitation || {}),
    state: row.active ? connected : DISABLED,
    retryAt: row.active && isWaiting ? now + (status.retry_in_seconds || 0) : 0,
    // Why it is not connected, as far as anybody knows.
    trouble: row.active && isWaiting ? errors[0]?.text : null
  }
}

// What a connected relay does not do, though it is switched on for it. The texts are
// nostrclient.problem_….
function faults(row) {
  const found = []
  const add = (name, words) => found.push({name, words: words?.[0]?.text || ''})
  if (row.write && row.publishing === 'refused') add('refuses', row.refusals)
  if (row.write && row.publishing === 'unanswered') add('ignores_events')
  if (row.read && row.receiving === 'refused') add('closes', row.closings)
  if (row.read && row.receiving === 'unanswered') add('ignores_requests')
  if (row.auth === 'no_key' && found.length) add('no_key')
  if (row.auth === 'refused') add('auth_refused', [{text: row.authMessage}])
  return found
}

// What a relay announces of itself (NIP-11) that makes it of less use. The texts are
// nostrclient.note_….
function notes(limitation) {
  return ['payment_required', 'auth_required', 'restricted_writes'].filter(
    name => limitation[name] === true
  )
}

// The rows after something was told of some relays; those of the others are the same
// objects as before, so that only what has changed is drawn again.
export function changed(rows, {relays = [], removed = []}, now) {
  const found = new Map(rows.map(row => [row.url, row]))
  removed.forEach(url => found.delete(url))
  relays.forEach(relay => found.set(relay.url, describe(relay, now)))
  return Object.freeze([...found.values()])
}

const isConnected = row => row.state.name === 'connected'
const SERVES = ['unknown', 'works']

// Whether Nostr works, in one line: the text is nostrclient.summary_…. `causes` are what
// speaks against it, each with a text nostrclient.cause_… and the card that says more.
export function summary(
  relays,
  {status = null, isStale = false, now = 0} = {}
) {
  if (!relays) return {name: 'loading', icon: 'hourglass_empty', color: 'grey'}
  const wanted = relays.filter(relay => relay.active)
  const connected = wanted.filter(isConnected)
  const numbers = {connected: connected.length, total: wanted.length}
  const verdict = (name, icon, color, causes = []) => ({
    name,
    numbers,
    causes,
    icon: isStale ? 'cloud_off' : icon,
    color: isStale ? 'grey' : color
  })
  if (!wanted.length) {
    return status?.second_process
      ? verdict('second', 'error', 'red')
      : verdict('none', 'info', 'grey')
  }
  if (!connected.length) {
    const isFirst = wanted.every(relay => relay.state.name === 'connecting')
    return isFirst
      ? verdict('connecting', 'sync', 'info')
      : verdict('down', 'error', 'red', outboxCauses(status, now))
  }
  const publish = service(wanted, 'write', 'publishing')
  const receive = service(wanted, 'read', 'receiving')
  const causes = [
    ...publish.causes,
    ...receive.causes,
    ...relayCauses(connected),
    ...outboxCauses(status, now),
    ...databaseCauses(status)
  ]
  if (!publish.works && !receive.works) {
    return verdict('useless', 'error', 'red', causes)
  }
  if (!publish.works) return verdict('unpublished', 'error', 'red', causes)
  if (!receive.works) return verdict('unreceived', 'error', 'red', causes)
  const isAll = connected.length === wanted.length
  const useless = connected.filter(relay => relay.problems.length).length
  if (useless) {
    const told = {...numbers, useless}
    const name = isAll ? 'all_but' : 'some_but'
    return {...verdict(name, 'warning', 'warning', causes), numbers: told}
  }
  if (isAll && !causes.length) return verdict('all', 'check_circle', 'positive')
  return verdict(isAll ? 'all' : 'some', 'warning', 'warning', causes)
}

// Whether any connected relay does what the switch is for, and why none does.
function service(wanted, flag, field) {
  const meant = wanted.filter(relay => relay[flag])
  const able = meant.filter(isConnected)
  if (!meant.length) {
    return {works: false, causes: [{name: `no_${flag}`, card: 'relays'}]}
  }
  if (!able.length) {
    return {works: false, causes: [{name: `down_${flag}`, card: 'relays'}]}
  }
  const works = able.some(relay => SERVES.includes(relay[field]))
  return {works, causes: []}
}

const MAX_NAMED = 3 // relays in the headline; of the others, it has the number

function relayCauses(connected) {
  const useless = connected.filter(relay => relay.problems.length)
  const more = useless.length - MAX_NAMED
  const found = useless.slice(0, MAX_NAMED).map(relay => ({
    name: `relay_${relay.problems[0].name}`,
    values: {url: relay.url, words: relay.problems[0].words},
    card: 'relays',
    url: relay.url
  }))
  if (more > 0) found.push({name: 'more', values: {n: more}, card: 'relays'})
  return found
}

function outboxCauses(status, now) {
  const found = []
  const oldest = status?.outbox_oldest_at
  if (status?.outbox_waiting && oldest && now - oldest >= WAITING_SECONDS) {
    const values = {n: status.outbox_waiting}
    found.push({name: 'waiting', values, since: oldest, card: 'outbox'})
  }
  const lost = status?.outbox_undeliverable_at
  if (lost && now - lost < LATELY_SECONDS) {
    const values = {n: status.outbox_undeliverable}
    found.push({name: 'undeliverable', values, card: 'outbox'})
  }
  return found
}

function databaseCauses(status) {
  const found = []
  const parts = (status?.not_loaded || []).join(', ')
  if (parts) found.push({name: 'not_loaded', values: {parts}, card: 'relays'})
  if (status?.second_process) found.push({name: 'second', card: 'relays'})
  return found
}

// Relay URLs in what somebody typed or pasted: several are separated by spaces, commas or
// lines. Where the scheme is missing or a web page's, the one of a relay takes its place.
export function relayUrls(text) {
  return text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(part => {
      if (/^wss?:\/\//i.test(part)) return part
      if (/^https:\/\//i.test(part)) return part.replace(/^https/i, 'wss')
      if (/^http:\/\//i.test(part)) return part.replace(/^http/i, 'ws')
      if (/^[a-z][a-z0-9+.-]*:\/\//i.test(part)) return part
      const isNear = /^(localhost|127\.|\[::1\]|[^/]*\.onion(:|\/|$))/i.test(
        part
      )
      return `${isNear ? 'ws' : 'wss'}://${part}`
    })
}
