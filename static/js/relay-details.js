// What else is known of a relay. What it says of itself is a stranger's words: text only.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {RelayHistory} = await part('history')
const {Time, number, size, span} = await part('words')

const GRAPH = {width: 180, height: 36, margin: 2}

// Names of limits of NIP-11 that are sizes in bytes.
const BYTES = ['max_message_length', 'max_content_length']

// The last round trips as a line: how long the relay took to answer pings.
const RoundTrips = {
  template: '#nostrclient-round-trips',
  props: {values: Array},
  data: () => ({...GRAPH}),
  computed: {
    numbers() {
      return {
        latest: Math.round(this.values.at(-1)),
        lowest: Math.round(Math.min(...this.values)),
        highest: Math.round(Math.max(...this.values))
      }
    },
    points() {
      const {width, height, margin} = GRAPH
      const step = (width - 2 * margin) / Math.max(1, this.values.length - 1)
      const scale = (height - 2 * margin) / (Math.max(...this.values) || 1)
      return this.values
        .map((value, index) => {
          const y = height - margin - value * scale
          return `${(margin + index * step).toFixed(1)},${y.toFixed(1)}`
        })
        .join(' ')
    }
  }
}

export default {
  template: '#nostrclient-relay-details',
  components: {
    NostrclientTime: Time,
    NostrclientRelayHistory: RelayHistory,
    NostrclientRoundTrips: RoundTrips
  },
  inject: ['clock'],
  props: {relay: Object},
  emits: ['change'], // with what shall be different
  computed: {
    routes() {
      return ['default', 'direct', 'proxy'].map(value => ({
        value,
        label: this.$t(`nostrclient.route_${value}`)
      }))
    },
    stateName() {
      return this.relay.isDown ? 'down' : this.relay.state.name
    },
    // What the relay did with events and requests, as [title, [text, number]...].
    answers() {
      const {relay} = this
      const count = (text, value, name) => ({
        text: this.$t(`nostrclient.answer_count_${text}`, {name}),
        value: number(value)
      })
      const byName = (text, counts) =>
        Object.entries(counts).map(([name, value]) => count(text, value, name))
      return [
        {
          name: 'events',
          counts: [
            count('accepted', relay.accepted),
            ...byName('refused', relay.refused),
            count('unanswered', relay.unanswered)
          ],
          words: relay.refusals
        },
        {
          name: 'requests',
          counts: [
            count('finished', relay.finished),
            ...byName('closed', relay.closed),
            count('unanswered', relay.unansweredRequests)
          ],
          words: relay.closings
        }
      ]
    },
    limitsInForce() {
      return Object.entries(this.relay.limits).map(([name, value]) => ({
        name,
        value: BYTES.includes(name) ? size(value) : number(value)
      }))
    },
    stateFor() {
      const {name, n} = span(this.relay.since, this.clock.now)
      return this.$t('nostrclient.state_for', {
        state: this.$t(`nostrclient.state_${this.stateName}`),
        span: this.$t(`nostrclient.${name}`, {n})
      })
    },
    counters() {
      return [
        'connections',
        'subscriptions',
        'owed',
        'dropped',
        'duplicates',
        'unasked',
        'invalid'
      ].map(name => ({name, value: number(this.relay[name])}))
    },
    limits() {
      const limits = this.relay.information?.limitation || {}
      return Object.entries(limits).map(([name, value]) => ({
        name,
        value: BYTES.includes(name) ? size(value) : this.plain(value)
      }))
    },
    software() {
      const {software, version} = this.relay.information || {}
      return [software, version].filter(Boolean).join(' ')
    }
  },
  methods: {
    plain(value) {
      if (typeof value === 'boolean') {
        return this.$t(`nostrclient.${value ? 'yes' : 'no'}`)
      }
      return typeof value === 'number' ? number(value) : String(value)
    }
  }
}
