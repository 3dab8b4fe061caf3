// Relays of a person's own list: NIP-65, and NIP-17 for direct messages. The list is read
// through the relays that are connected.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {publicKey} = await part('npub')

const LISTS = {10002: 'r', 10050: 'relay'} // by kind, the name of the tags

// The relays of the newest list of each kind, as {url, uses}; who signed them is checked
// by the server.
export function listedRelays(events) {
  const newest = {}
  for (const event of events) {
    const known = newest[event.kind]
    if (!known || event.created_at > known.created_at)
      newest[event.kind] = event
  }
  const found = new Map()
  for (const [kind, name] of Object.entries(LISTS)) {
    for (const [tag, url, marker] of newest[kind]?.tags || []) {
      if (tag !== name || !/^wss?:\/\/./i.test(url || '')) continue
      const key = url.trim().replace(/\/+$/, '')
      const uses =
        name === 'relay' ? ['messages'] : marker ? [marker] : ['read', 'write']
      found.set(key, [...new Set([...(found.get(key) || []), ...uses])])
    }
  }
  return [...found].map(([url, uses]) => ({url, uses}))
}

export default {
  template: '#nostrclient-import-relays',
  inject: ['rest'],
  props: {modelValue: Boolean, known: Array}, // the URLs that are there already
  emits: ['update:modelValue', 'add'], // with the URLs to add
  data: () => ({
    npub: '',
    searching: false,
    trouble: null,
    found: null, // the relays of the list
    chosen: []
  }),
  computed: {
    fresh() {
      return (this.found || []).filter(({url}) => !this.known.includes(url))
    }
  },
  methods: {
    begin() {
      Object.assign(this, {npub: '', trouble: null, found: null, chosen: []})
    },
    usesText(uses) {
      return uses.map(use => this.$t(`nostrclient.import_${use}`)).join(', ')
    },
    async search() {
      const author = publicKey(this.npub)
      this.found = null
      this.trouble = author ? null : this.$t('nostrclient.import_no_key')
      if (!author) return
      this.searching = true
      try {
        const kinds = Object.keys(LISTS).map(Number)
        const {events} = await this.rest.query([{kinds, authors: [author]}])
        this.found = listedRelays(events)
        this.chosen = this.fresh.map(({url}) => url)
        if (!this.found.length) {
          this.trouble = this.$t('nostrclient.import_nothing')
        }
      } catch (error) {
        this.trouble = error.message
      }
      this.searching = false
    },
    add() {
      this.$emit('add', this.chosen)
      this.$emit('update:modelValue', false)
    }
  }
}
