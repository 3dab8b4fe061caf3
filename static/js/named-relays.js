// Relays outside the list that events name: shown while there are any.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, State} = await part('parts')
const {connectionState} = await part('state')

export default {
  template: '#nostrclient-named-relays',
  components: {NostrclientCard: Card, NostrclientState: State},
  inject: ['rest'],
  props: {status: Object},
  data: () => ({relays: []}),
  computed: {
    // Changes whenever the list may have.
    numbers() {
      const {named_relays, named_relays_connected, named_events} =
        this.status || {}
      return `${named_relays || 0} ${named_relays_connected} ${named_events}`
    }
  },
  watch: {
    numbers: {
      immediate: true,
      handler() {
        this.load()
      }
    }
  },
  methods: {
    stateOf: ({state}) => connectionState(state),
    async load() {
      if (!this.status?.named_relays) {
        this.relays = []
        return
      }
      try {
        this.relays = Object.freeze(await this.rest.getNamedRelays())
      } catch {
        // The headline says that the server is out of reach.
      }
    }
  }
}
