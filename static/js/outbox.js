// What waits for relays to take it, and what none of them took.

import {Time, number, size} from './words.js'

const REFRESH_MILLISECONDS = 10000

export default {
  template: '#nostrclient-outbox',
  components: {NostrclientTime: Time},
  inject: ['rest', 'visible'],
  data() {
    return {
      events: null, // until they are known
      undeliverable: [],
      trouble: null,
      filter: '',
      open: [],
      busy: false,
      pagination: {rowsPerPage: 10, sortBy: 'since'}
    }
  },
  computed: {
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
    'visible.now'() {
      this.refresh()
    }
  },
  created() {
    this.refresh()
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
    brief: id => `${id.slice(0, 8)}…`,
    // One look at a time; who asks meanwhile gets another one afterwards.
    async refresh() {
      clearTimeout(this.timer)
      if (this.looking) {
        this.again = true
        return
      }
      if (!this.visible.now || this.left) return
      this.looking = true
      try {
        const [events, undeliverable] = await Promise.all([
          this.rest.getOutbox(),
          this.rest.getUndeliverable()
        ])
        this.events = events
        this.undeliverable = undeliverable
        this.trouble = null
      } catch (error) {
        this.trouble = error.message
      }
      this.looking = false
      if (this.left || !this.visible.now) return
      const pause = this.again ? 500 : REFRESH_MILLISECONDS
      this.again = false
      this.timer = setTimeout(this.refresh, pause)
    },
    async carryOut(change, done) {
      this.busy = true
      try {
        await change
        if (done) this.$q.notify({message: this.$t(`nostrclient.${done}`)})
      } catch (error) {
        this.$q.notify({type: 'negative', message: error.message})
      }
      this.busy = false
      this.refresh()
    },
    retry(id) {
      this.carryOut(this.rest.retryEvent(id), 'retrying_now')
    },
    retryAll() {
      this.carryOut(this.rest.retryAllEvents(), 'retrying_now')
    },
    confirmDiscard(event) {
      this.$q
        .dialog({
          title: this.$t('nostrclient.discard_title'),
          message: this.$t('nostrclient.discard_text', {
            id: event.event_id,
            kind: event.kind
          }),
          focus: 'cancel',
          ok: {
            label: this.$t('nostrclient.discard'),
            color: 'negative',
            unelevated: true
          },
          cancel: {label: this.$t('nostrclient.cancel'), flat: true}
        })
        .onOk(() => this.carryOut(this.rest.discardEvent(event.event_id)))
    }
  }
}
