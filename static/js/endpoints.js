// The two URLs at which clients find us.

import {Card} from './parts.js'

export default {
  template: '#nostrclient-endpoints',
  components: {NostrclientCard: Card},
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
