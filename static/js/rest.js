// nostrclient's REST interface. The session authorises, not an API key.
// This is fetch and not LNbits.api, because that lets a loading bar flash across the
// page at every request, thus whenever something changes.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {translated} = await part('messages')

// Throws an `Error` whose message is in the operator's language.
async function request(method, path, body) {
  const response = await fetch(`/nostrclient/api/v1${path}`, {
    method,
    headers: {Accept: 'application/json', 'Content-Type': 'application/json'},
    body: JSON.stringify(body)
  }).catch(error => {
    throw new Error(translated(error.message))
  })
  const answer = await response.json().catch(() => null)
  if (!response.ok) throw refusal(reason(answer?.detail) || response.statusText)
  return answer
}

// `told` are the server's own words, for who looks for names in them.
function refusal(told) {
  return Object.assign(new Error(translated(told)), {told})
}

// Why a request was refused, in words for the operator.
function reason(detail) {
  if (!Array.isArray(detail)) return detail
  return detail.map(item => `${item.loc?.at(-1)}: ${item.msg}`).join(', ')
}

// The URL of a path, as the page was reached.
function webSocketUrl(path) {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
  return `${scheme}://${location.host}${path}`
}

const withUrl = item => ({...item, url: webSocketUrl(item.path)})

export const getRelays = () => request('GET', '/relays')
export const addRelay = url => request('POST', '/relay', {url})
export const removeRelay = url => request('DELETE', '/relay', {url})
export const updateRelay = (url, changes) =>
  request('PUT', '/relay', {url, ...changes})
export const reconnect = url => request('PUT', '/relay/reconnect', {url})
export const restart = () => request('PUT', '/restart')
export const getHistory = () => request('GET', '/history')
export const getRelayHistory = url =>
  request('GET', `/history/relay?${new URLSearchParams({url})}`)
export const query = filters => request('POST', '/query', {filters})
export const getSubscriptions = id => request('GET', `/clients/${id}`)
export const disconnect = id => request('DELETE', `/clients/${id}`)
export const getOutbox = () => request('GET', '/outbox')
export const retryEvent = id => request('PUT', `/outbox/${id}`)
export const retryAllEvents = () => request('PUT', '/outbox')
export const discardEvent = id => request('DELETE', `/outbox/${id}`)
export const getSettings = () => request('GET', '/settings')
export const getNamedRelays = () => request('GET', '/named-relays')
export const getUndeliverable = () => request('GET', '/outbox/undeliverable')
export const sendAgain = id => request('PUT', `/outbox/undeliverable/${id}`)
export const getIdentity = () => request('GET', '/identity')
export const generateIdentity = () =>
  request('PUT', '/identity', {generate: true})
export const setIdentity = nsec => request('PUT', '/identity', {nsec})
export const forgetIdentity = () => request('DELETE', '/identity')
export const getReaderKeys = () => request('GET', '/identities')
export const addReaderKey = (nsec, label) =>
  request('POST', '/identities', {nsec, label})
export const removeReaderKey = pubkey =>
  request('DELETE', '/identities', {pubkey})
export const getPrivateUrls = async () =>
  (await request('GET', '/private-urls')).map(withUrl)
export const addPrivateUrl = async data =>
  withUrl(await request('POST', '/private-urls', data))
export const updatePrivateUrl = (id, changes) =>
  request('PUT', `/private-urls/${id}`, changes)
export const revokePrivateUrl = id => request('DELETE', `/private-urls/${id}`)
export const getMerchants = () => request('GET', '/merchants')
export const setMerchants = enabled => request('PUT', '/merchants', {enabled})
export const getConfig = () => request('GET', '/config')
export const updateConfig = config => request('PUT', '/config', config)
export const makeTestEvent = message => request('PUT', '/relay/test', message)
export const getTestAnswers = id => request('GET', `/relay/test/${id}`)

// The URL at which changes are told; good once, for half a minute.
export async function getLiveUrl() {
  return webSocketUrl((await request('POST', '/live')).path)
}

// The URLs of both endpoints.
export async function getUrls() {
  const told = await request('GET', '/endpoints')
  return {
    private: webSocketUrl(told.private),
    public: told.public_url || webSocketUrl(told.public)
  }
}
