// The relays: adding, watching, switching and removing them.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {default: KNOWN_RELAYS} = await part('known-relays')
const {Search, confirm} = await part('parts')
const {default: Details} = await part('relay-details')
const {number} = await part('words')

const NUMBER_COLUMNS = ['ping', 'received', 'sent', 'errorCount']

// What is in every row is handed no more of the relay than it shows: of all that is
// told twice a second, little changes that.

// Lets the row's errors and notices appear; says how many there are.
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

const State = {
  template: '#nostrclient-state',
  inject: ['clock'],
  props: {state: Object, retryAt: Number},
  computed: {
    // Until the next try; 0 where none is due.
    seconds() {
      return Math.max(0, Math.ceil(this.retryAt - this.clock.now))
    }
  }
}

export default {
  template: '#nostrclient-relays',
  components: {
    NostrclientSearch: Search,
    NostrclientState: State,
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
      switching: [], // the URLs of the relays that are being changed
      filter: '',
      open: [], // the URLs of the rows that show their details
      pagination: {rowsPerPage: 20}
    }
  },
  computed: {
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
        column('state', relay => relay.state.name),
        column('url'),
        ...NUMBER_COLUMNS.map(name => column(name)),
        column('use', relay => [relay.active, relay.read, relay.write].join())
      ]
    }
  },
  methods: {
    number,
    // While one types: what is only begun is no mistake yet.
    onInput(text) {
      const begun = text.trim().toLowerCase()
      const isBegun = ['wss://', 'ws://'].some(it => it.startsWith(begun))
      this.refusal = isBegun ? null : this.objection(text.trim())
    },
    // What can be said without asking the server, which has the last word.
    objection(text) {
      if (!text) return this.$t('nostrclient.url_missing')
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
      const url = this.url.trim()
      this.refusal = this.objection(url)
      if (this.refusal) return
      this.adding = true
      await this.carryOut(this.rest.addRelay(url), {
        done: () => (this.url = ''),
        failed: reason => (this.refusal = reason)
      })
      this.adding = false
    },
    async change(url, changes) {
      this.switching.push(url)
      await this.carryOut(this.rest.updateRelay(url, changes))
      this.switching = this.switching.filter(other => other !== url)
    },
    confirmRemoval(url) {
      const texts = {
        title: this.$t('nostrclient.remove_title'),
        message: this.$t('nostrclient.remove_text', {url}),
        action: this.$t('nostrclient.remove')
      }
      confirm(this, texts, () => this.carryOut(this.remove(url)))
    },
    async remove(url) {
      await this.rest.removeRelay(url)
      return this.rest.getRelays()
    },
    // Waits for an answer, which is a new list of relays.
    async carryOut(answer, {done = () => {}, failed = this.complain} = {}) {
      this.$emit('answer', answer)
      try {
        await answer
        done()
      } catch (error) {
        failed(error.message)
      }
    },
    complain(message) {
      this.$q.notify({type: 'negative', message})
    }
  }
}
