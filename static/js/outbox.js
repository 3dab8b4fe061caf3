// What waits for relays to take it, and what none of them took.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, Empty, Search, confirm} = await part('parts')
const {Time, number, size} = await part('words')

const ALL_COLUMNS_PIXELS = 460 // a narrower table leaves some out
const PAUSE_MILLISECONDS = 1000 // between two looks, however much changes

export default {
  template: '#nostrclient-outbox',
  components: {
    NostrclientCard: Card,
    NostrclientEmpty: Empty,
    NostrclientSearch: Search,
    NostrclientTime: Time
  },
  inject: ['rest'],
  props: {told: Object}, // another one whenever the outbox has changed
  data() {
    return {
      events: null, // until they are known
      undeliverable: [],
      trouble: null,
      filter: '',
      width: 0, // of the table
      open: [],
      busy: false,
      pagination: {rowsPerPage: 10, sortBy: 'since'}
    }
  },
  computed: {
    visible() {
      const isNarrow = this.width > 0 && this.width < ALL_COLUMNS_PIXELS
      return isNarrow ? ['since', 'owed'] : undefined
    },
    columns() {
      const column = (name, field = name, align = 'left') => ({
        name,
        field,
        align,
        label: this.$t(`nostrclient.column_${name}`),
        sortable: true
      })
      return [
        column('since'),
        column('kind'),
        column('size', 'size', 'right'),
        column('owed', event => event.owed.join(' '))
      ]
    }
  },
  watch: {
    told() {
      this.refresh()
    }
  },
  unmounted() {
    this.left = true
    clearTimeout(this.timer)
  },
  methods: {
    number,
    size,
    // Finds ids and authors, too, which no column shows.
    search: (events, text) =>
      events.filter(event =>
        [event.event_id, event.pubkey, event.kind, ...event.owed]
          .join(' ')
          .includes(text.toLowerCase())
      ),
    onResize({width}) {
      this.width = width
    },
    // Those that may still accept it first, then those that never will.
    relaysOf(event) {
      const refused = Object.keys(event.refusals || {})
      return [...new Set([...event.owed, ...refused])]
    },
    owedText(n) {
      return this.$t(`nostrclient.owed_relays${n === 1 ? '_1' : ''}`, {n})
    },
    brief: id => `${id.slice(0, 8)}…`,
    // One look at a time; who asks meanwhile gets another one afterwards.
    async refresh() {
      this.again = true
      if (this.looking || this.left) return
      this.looking = true
      this.again = false
      try {
        const [events, undeliverable] = await Promise.all([
          this.rest.getOutbox(),
          this.rest.getUndeliverable()
        ])
        this.events = Object.freeze(events) // so that Vue does not watch a thousand
        this.undeliverable = Object.freeze(undeliverable)
        this.trouble = null
      } catch (error) {
        this.trouble = error.message
      }
      if (this.left) return
      this.timer = setTimeout(() => {
        this.looking = false
        if (this.again) this.refresh()
      }, PAUSE_MILLISECONDS)
    },
    // `done` is what to say then.
    async carryOut(change, done) {
      this.busy = true
      try {
        await change
        if (done) this.$q.notify({message: done})
      } catch (error) {
        this.$q.notify({type: 'negative', message: error.message})
      }
      this.busy = false
      this.refresh()
    },
    retry(id) {
      this.carryOut(
        this.rest.retryEvent(id),
        this.$t('nostrclient.retrying_now')
      )
    },
    retryAll() {
      const n = number(this.events.length)
      this.carryOut(
        this.retryEverywhere(),
        this.$t('nostrclient.retrying_all', {n})
      )
    },
    // Relays that wait for their next attempt are connected to at once, too.
    async retryEverywhere() {
      await this.rest.retryAllEvents()
      const {relays} = await this.rest.reconnect(null)
      if (!relays) return
      const n = number(relays)
      this.$q.notify({message: this.$t('nostrclient.reconnecting', {n})})
    },
    sendAgain(id) {
      this.carryOut(
        this.rest.sendAgain(id),
        this.$t('nostrclient.sending_again')
      )
    },
    confirmDiscard(event) {
      const texts = {
        title: this.$t('nostrclient.discard_title'),
        message: this.$t('nostrclient.discard_text', {
          id: this.brief(event.event_id),
          kind: event.kind
        }),
        action: this.$t('nostrclient.discard')
      }
      confirm(this, texts, () =>
        this.carryOut(this.rest.discardEvent(event.event_id))
      )
    }
  }
}
