// The two URLs at which clients find us.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, QrDialog} = await part('parts')

export default {
  template: '#nostrclient-endpoints',
  components: {NostrclientCard: Card, NostrclientQr: QrDialog},
  props: {config: Object, urls: Object},
  emits: ['settings'],
  data: () => ({shown: null}), // the endpoint whose QR code is shown
  computed: {
    endpoints() {
      if (!this.config || !this.urls) return []
      return ['private', 'public'].map(name => ({
        name,
        url: this.urls[name],
        open: this.config[`${name}_ws`]
      }))
    }
  },
  methods: {
    copy(url) {
      LNbits.utils.copyText(url, this.$t('nostrclient.copied'))
    }
  }
}
