// The two URLs at which clients find us.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, QrDialog, confirm} = await part('parts')

export default {
  template: '#nostrclient-endpoints',
  components: {NostrclientCard: Card, NostrclientQr: QrDialog},
  inject: ['rest'],
  props: {config: Object, urls: Object},
  emits: ['saved', 'settings'],
  data: () => ({
    shown: null, // the endpoint whose QR code is shown
    changing: null, // the endpoint that is being opened or closed
    trouble: null
  }),
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
    },
    confirmClose({name}) {
      const texts = {
        title: this.$t(`nostrclient.close_${name}`),
        message: this.$t('nostrclient.closing'),
        action: this.$t('nostrclient.close')
      }
      confirm(this, texts, () => this.setOpen({name}, false))
    },
    async setOpen({name}, open) {
      this.changing = name
      this.trouble = null
      try {
        const changes = {[`${name}_ws`]: open} // the rest stays as it is
        this.$emit('saved', await this.rest.updateConfig(changes))
      } catch (error) {
        this.trouble = error.message
      }
      this.changing = null
    }
  }
}
