// The relays: adding, watching, switching and removing them.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {default: KNOWN_RELAYS} = await part('known-relays')
const {Empty, Search, confirm, State} = await part('parts')
const {default: ImportRelays} = await part('import-relays')
const {default: Details} = await part('relay-details')
const {relayUrls} = await part('state')
const {number} = await part('words')

const NUMBER_COLUMNS = ['ping', 'received', 'accepted']
const TABLE_PIXELS = 940 // a narrower table is a list of cards

// What is in every row is handed no more of the relay than it shows: of all that is
// told twice a second, little changes that.

// Lets the row's details appear; says how many errors and notices there are.
const LogButton = {
  template: '#nostrclient-log-button',
  props: {modelValue: Boolean, url: String, errors: Number, notices: Number},
  emits: ['update:modelValue']
}

// Whether a relay is used at all, to read and to write.
const Switches = {
  template: '#nostrclient-switches',
  props: {
    url: String,
    active: Boolean,
    read: Boolean,
    write: Boolean,
    disable: Boolean
  },
  emits: ['change'] // with what shall be different
}

const RowButtons = {
  template: '#nostrclient-row-buttons',
  props: {url: String, waits: Boolean},
  emits: ['reconnect', 'remove']
}

// Why a relay is of no use, below its URL.
const Problems = {
  template: '#nostrclient-problems',
  props: {problems: Array, notes: Array, trouble: String}
}

// Numbers in order, with what is unknown at the end, whichever way one sorts.
function compare(a, b, descending) {
  if ((a ?? null) === (b ?? null)) return 0
  if ((a ?? null) === null) return 1
  if ((b ?? null) === null) return -1
  const order = typeof a === 'number' ? a - b : String(a).localeCompare(b)
  return descending ? -order : order
}

export default {
  template: '#nostrclient-relays',
  components: {
    NostrclientEmpty: Empty,
    NostrclientSearch: Search,
    NostrclientState: State,
    NostrclientImportRelays: ImportRelays,
    NostrclientProblems: Problems,
    NostrclientRowButtons: RowButtons,
    NostrclientSwitches: Switches,
    NostrclientRelayDetails: Details,
    NostrclientLogButton: LogButton
  },
  inject: ['rest'],
  props: {relays: Array},
  emits: ['answer'], // the promise of a new list of relays
  data() {
    return {
      url: '',
      refusal: null,
      adding: false,
      importing: false,
      added: [], // the URLs added here, newest first: they are on top
      switching: [], // the URLs of the relays that are being changed
      filter: '',
      open: [], // the URLs of the rows that show their details
      width: 0, // of the table
      pagination: {rowsPerPage: 20}
    }
  },
  computed: {
    rows() {
      const place = row => {
        const index = this.added.indexOf(row.url)
        return index < 0 ? this.added.length : index
      }
      if (!this.added.length) return this.relays || []
      return [...(this.relays || [])].sort((a, b) => place(a) - place(b))
    },
    isNarrow() {
      return this.width > 0 && this.width < TABLE_PIXELS
    },
    waiting() {
      return (this.relays || []).filter(row => row.state.name === 'retrying')
    },
    suggestions() {
      const known = new Set((this.relays || []).map(relay => relay.url))
      return KNOWN_RELAYS.filter(url => !known.has(url))
    },
    columns() {
      const column = (name, field = name) => ({
        name,
        field,
        label: this.$t(`nostrclient.column_${name}`),
        align: NUMBER_COLUMNS.includes(name) ? 'right' : 'left',
        sortable: true
      })
      return [
        column('state', this.stateText),
        column('url'),
        ...NUMBER_COLUMNS.map(name => column(name)),
        column('use', relay => [relay.active, relay.read, relay.write].join()),
        {...column('errorCount'), align: 'right'}
      ]
    }
  },
  methods: {
    number,
    stateText(row) {
      return this.$t(`nostrclient.state_${row.state.name}`)
    },
    sort(rows, name, descending) {
      const column = this.columns.find(known => known.name === name)
      if (!column) return rows
      const {field} = column
      const value = row =>
        typeof field === 'function' ? field(row) : row[field]
      return [...rows].sort((a, b) => compare(value(a), value(b), descending))
    },
    // Finds URLs, states, problems and errors.
    search(rows, text) {
      const words = text.toLowerCase().split(/\s+/)
      return rows.filter(row => {
        const told = [
          row.url,
          this.stateText(row),
          ...row.problems.map(({name, words}) =>
            this.$t(`nostrclient.problem_${name}`, {words})
          ),
          ...row.errors.map(({text}) => text)
        ]
        const all = told.join(' ').toLowerCase()
        return words.every(word => all.includes(word))
      })
    },
    onResize({width}) {
      this.width = width
    },
    toggle(props) {
      if (!window.getSelection()?.toString()) props.expand = !props.expand
    },
    // Opens a row's details and scrolls there.
    reveal(url) {
      this.filter = ''
      if (!this.open.includes(url)) this.open = [...this.open, url]
      const index = this.rows.findIndex(row => row.url === url)
      const {rowsPerPage} = this.pagination
      if (!this.pagination.sortBy && rowsPerPage) {
        const page = Math.floor(Math.max(0, index) / rowsPerPage) + 1
        this.pagination = {...this.pagination, page}
      }
      this.$nextTick(() =>
        document
          .querySelector(`[data-relay="${CSS.escape(url)}"]`)
          ?.scrollIntoView({block: 'center'})
      )
    },
    // While one types: what is only begun is no mistake yet.
    onInput(text) {
      const begun = text.trim().toLowerCase()
      const isBegun = ['wss://', 'ws://'].some(it => it.startsWith(begun))
      this.refusal = isBegun ? null : this.objection(text)
    },
    // What can be said without asking the server, which has the last word.
    objection(text) {
      const urls = relayUrls(text)
      if (!urls.length) return this.$t('nostrclient.url_missing')
      return urls.map(url => this.objectionTo(url)).find(Boolean) || null
    },
    objectionTo(text) {
      if (!/^wss?:\/\//i.test(text)) return this.$t('nostrclient.url_scheme')
      try {
        const url = new URL(text)
        if (url.username || url.password || url.hash) {
          return this.$t('nostrclient.url_too_much')
        }
      } catch {
        return this.$t('nostrclient.url_invalid')
      }
      return null
    },
    async add() {
      this.refusal = this.objection(this.url)
      if (this.refusal) return
      const refused = await this.addAll(relayUrls(this.url))
      this.url = refused.map(({url}) => url).join(' ')
      this.refusal = refused[0]?.reason || null
    },
    // One after the other; returns those that the server refused.
    async addAll(urls) {
      this.adding = true
      const refused = []
      const added = []
      for (const url of urls) {
        const before = new Set((this.relays || []).map(row => row.url))
        await this.carryOut(this.rest.addRelay(url), {
          done: relays => {
            const fresh = relays.map(relay => relay.url)
            added.push(...fresh.filter(it => !before.has(it)))
          },
          failed: reason => refused.push({url, reason})
        })
      }
      this.adding = false
      const fresh = [...new Set(added)]
      if (fresh.length) {
        this.added = [...fresh.reverse(), ...this.added]
        this.pagination = {...this.pagination, page: 1}
        const n = number(fresh.length)
        const message =
          fresh.length === 1
            ? this.$t('nostrclient.added_relay', {url: fresh[0]})
            : this.$t('nostrclient.added_relays', {n})
        this.$q.notify({message})
      }
      return refused
    },
    // A file that can be pasted here again.
    exportUrls() {
      const text = this.relays.map(({url}) => `${url}\n`).join('')
      const link = document.createElement('a')
      link.href = URL.createObjectURL(new Blob([text], {type: 'text/plain'}))
      link.download = 'nostr-relays.txt'
      link.click()
      URL.revokeObjectURL(link.href)
    },
    async addListed(urls) {
      const refused = await this.addAll(urls)
      refused.slice(0, 1).forEach(({reason}) => this.complain(reason))
    },
    async addRecommended() {
      await this.addListed(this.suggestions)
    },
    async change(url, changes) {
      this.switching.push(url)
      await this.carryOut(this.rest.updateRelay(url, changes))
      this.switching = this.switching.filter(other => other !== url)
    },
    async reconnect(url = null) {
      try {
        const {relays} = await this.rest.reconnect(url)
        const n = number(relays)
        this.$q.notify({message: this.$t('nostrclient.reconnecting', {n})})
      } catch (error) {
        this.complain(error.message)
      }
    },
    confirmRemoval({url, owed}) {
      const text = owed ? 'remove_text_queued' : 'remove_text'
      const texts = {
        title: this.$t('nostrclient.remove_title'),
        message: this.$t(`nostrclient.${text}`, {url, n: number(owed)}),
        action: this.$t('nostrclient.remove')
      }
      confirm(this, texts, async () => {
        await this.carryOut(this.remove(url))
        this.$refs.url?.focus() // the button that had the focus is gone
      })
    },
    async remove(url) {
      await this.rest.removeRelay(url)
      return this.rest.getRelays()
    },
    // Waits for an answer, which is a new list of relays.
    async carryOut(answer, {done = () => {}, failed = this.complain} = {}) {
      this.$emit('answer', answer)
      try {
        done(await answer)
      } catch (error) {
        failed(error.message)
      }
    },
    complain(message) {
      this.$q.notify({type: 'negative', message})
    }
  }
}
