// What the server says when it refuses something, in the operator's language.
// A message that is not listed here is shown as it came.

const t = (key, values) => window.i18n.global.t(`nostrclient.${key}`, values)

const KEY = '(?:the |an? )?(nsec|npub|public key|private key)'

// [pattern, name of the text, names of what the pattern's groups hold]
const MESSAGES = [
  [/^Failed to fetch$|^NetworkError|^Load failed$/, 'unreachable'],
  [/^Relay: (\S+) already exists\.?$/, 'relay_exists', 'url'],
  [/^Relay: (\S+) is not known\.?$/, 'relay_unknown', 'url'],
  [/^This is nostrclient's own endpoint\.?$/, 'own_endpoint'],
  [/^Relay url not provided\.?$/, 'url_missing'],
  [/^relay URL is longer than (\d+) characters$/, 'url_too_long', 'n'],
  [/^relay URL contains spaces or control characters$/, 'url_spaces'],
  [/^relay URL contains a backslash$/, 'url_backslash'],
  [/^relay URL must start with ws:\/\/ or wss:\/\/$/, 'url_scheme'],
  [/^relay URL must not contain (?:credentials|a fragment)$/, 'url_too_much'],
  [/^relay URL has no host$/, 'url_no_host'],
  [/^relay URL has port 0$/, 'url_port'],
  [/^relay URL (?:has a host|is not valid|holds half)/, 'url_invalid'],
  [/^an \.onion relay needs a SOCKS5 proxy/, 'proxy_onion'],
  [/^this relay needs a SOCKS5 proxy/, 'proxy_missing'],
  [/^the proxy's (?:URL|user name)/, 'proxy_url'],
  [/^'(.*)' is not a kind$/, 'guest_kind', 'value'],
  [/^'(.*)' is not an address$/, 'guest_address', 'value'],
  [/^(\w+) has more than (\d+) entries$/, 'guest_long', 'value n'],
  [/^(\w+) is longer than (\d+) characters$/, 'face_long', 'field n'],
  [/^(\w+) must be a URL with http/, 'face_url', 'field'],
  [/^No such client is connected\.?$/, 'client_unknown'],
  [/^No such event waits\.?$/, 'event_unknown'],
  [/^No such event is undeliverable\.?$/, 'event_unknown'],
  [/^No such test message is known\.?$/, 'test_unknown'],
  [/^(\d+) pages are connected already\.?$/, 'too_many_pages', 'n'],
  [/^the setting '(.+)' cannot be (.+)$/, 'setting_range', 'setting value'],
  [/^the setting '(.+)' must be above 0$/, 'setting_zero', 'setting'],
  [/^'(.+)' must not exceed '(.+)'$/, 'setting_most', 'setting other'],
  [
    /^'(.+)' must exceed '(.+)' \+ '(.+)'$/,
    'setting_sum',
    'setting other third'
  ],
  [/^there is no setting '(.+)'$/, 'setting_unknown', 'value'],
  [
    new RegExp(`^${KEY} has (\\d+) characters, not (\\d+)$`, 'i'),
    'key_length',
    'key n expected'
  ],
  [new RegExp(`^${KEY} is mistyped`, 'i'), 'key_checksum', 'key'],
  [
    new RegExp(
      `^${KEY} (?:is not (?:valid )?(?:hex|on the curve|a string|made of bytes)` +
        '|is out of range|begins with|mixes upper|has a character|has bits' +
        '|has \\d+ bytes|is in bech32m)',
      'i'
    ),
    'key_invalid',
    'key'
  ],
  [/^the key could not be encrypted$/, 'key_encryption'],
  [/^This is the service key already\.?$/, 'key_is_identity'],
  [/^This key is stored already\.?$/, 'key_stored'],
  [/^This key is not stored\.?$/, 'key_not_stored'],
  [/^A private URL needs a name\.?$/, 'private_url_name'],
  [/^There is no such private URL\.?$/, 'private_url_unknown'],
  [/^There are (\d+) private URLs already\.?$/, 'private_url_many', 'n']
]

// Text in the operator's language where there is one, else the message itself.
export function translated(message) {
  for (const [pattern, name, groups] of MESSAGES) {
    const found = pattern.exec(message)
    if (!found) continue
    const names = groups ? groups.split(' ') : []
    const values = names.map((group, index) => [
      group,
      value(group, found[index + 1])
    ])
    return t(`error_${name}`, Object.fromEntries(values))
  }
  return message
}

// Settings are called what their dialog calls them.
function value(group, text) {
  if (['setting', 'other', 'third'].includes(group)) return settingLabel(text)
  if (group === 'field') return t(`face_${text}`)
  if (group === 'key') return keyLabel(text.toLowerCase())
  return text
}

const keyLabel = key => (key.includes(' ') ? t(key.replace(' ', '_')) : key)

// Both endpoints' limits have the same words. A setting of a later version may have no
// text yet.
export function settingLabel(name) {
  const own = name.split('.').at(-1)
  if (window.i18n.global.te(`nostrclient.number_${own}`, 'en')) {
    return t(`number_${own}`)
  }
  const words = own.replaceAll('_', ' ')
  return words[0].toUpperCase() + words.slice(1)
}
