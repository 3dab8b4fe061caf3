// Who is connected to the endpoints.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, Empty, Search} = await part('parts')
const {Time, number, size} = await part('words')

const TABLE_PIXELS = 760 // a narrower table is a list of cards
const COUNTS = ['subscriptions', 'received', 'sent', 'dropped']

export default {
  template: '#nostrclient-clients',
  components: {
    NostrclientCard: Card,
    NostrclientEmpty: Empty,
    NostrclientSearch: Search,
    NostrclientTime: Time
  },
  props: {clients: Array},
  data() {
    return {
      counts: COUNTS,
      filter: '',
      width: 0, // of the table
      pagination: {rowsPerPage: 10, sortBy: 'since'}
    }
  },
  computed: {
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
    onResize({width}) {
      this.width = width
    }
  }
}
