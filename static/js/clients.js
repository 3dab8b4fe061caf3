// Who is connected to the endpoints.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, Empty, Search, confirm} = await part('parts')
const {Time, number, size} = await part('words')

const TABLE_PIXELS = 860 // a narrower table is a list of cards
const COUNTS = ['subscriptions', 'received', 'sent', 'dropped']

const Buttons = {
  template: '#nostrclient-client-buttons',
  props: {name: String},
  emits: ['show', 'disconnect']
}

export default {
  template: '#nostrclient-clients',
  components: {
    NostrclientCard: Card,
    NostrclientClientButtons: Buttons,
    NostrclientEmpty: Empty,
    NostrclientSearch: Search,
    NostrclientTime: Time
  },
  inject: ['rest'],
  props: {clients: Array, instances: Number},
  data() {
    return {
      counts: COUNTS,
      filter: '',
      width: 0, // of the table
      shown: null, // the client whose subscriptions are shown
      subscriptions: null,
      trouble: null,
      pagination: {rowsPerPage: 10, sortBy: 'since'}
    }
  },
  computed: {
    intro() {
      const n = this.instances
      return n > 1
        ? this.$t('nostrclient.clients_intro_several', {n})
        : this.$t('nostrclient.clients_intro')
    },
    isNarrow() {
      return this.width > 0 && this.width < TABLE_PIXELS
    },
    columns() {
      const column = (name, label, align = 'left') => ({
        name,
        field: name,
        align,
        label: this.$t(`nostrclient.${label}`),
        sortable: true
      })
      return [
        column('endpoint', 'column_endpoint'),
        column('agent', 'column_client'),
        column('address', 'column_address'),
        column('since', 'column_connected'),
        ...COUNTS.map(name => column(name, `clients_${name}`, 'right')),
        column('waiting_bytes', 'clients_waiting', 'right')
      ]
    }
  },
  methods: {
    number,
    size,
    async show(client) {
      Object.assign(this, {shown: client, subscriptions: null, trouble: null})
      try {
        this.subscriptions = await this.rest.getSubscriptions(client.id)
      } catch (error) {
        this.trouble = error.message
      }
    },
    endpointOf({endpoint, private_url_name}) {
      const kind = this.$t(`nostrclient.${endpoint}_client`)
      return private_url_name ? `${kind}: ${private_url_name}` : kind
    },
    nameOf: ({agent, address}) => agent || address,
    lineOf(client) {
      const {agent, address} = client
      const kind = this.endpointOf(client)
      return `${[kind, agent, address].filter(Boolean).join(', ')}, `
    },
    confirmDisconnect(client) {
      const texts = {
        title: this.$t('nostrclient.disconnect_title'),
        message: this.$t('nostrclient.disconnect_text', {
          client: this.nameOf(client)
        }),
        action: this.$t('nostrclient.disconnect')
      }
      confirm(this, texts, async () => {
        try {
          await this.rest.disconnect(client.id)
        } catch (error) {
          this.$q.notify({type: 'negative', message: error.message})
        }
      })
    },
    onResize({width}) {
      this.width = width
    }
  }
}
