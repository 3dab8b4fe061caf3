// Private URLs with names, one for each app.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, QrDialog, confirm} = await part('parts')
const {Time} = await part('words')

export default {
  template: '#nostrclient-private-urls',
  components: {
    NostrclientCard: Card,
    NostrclientQr: QrDialog,
    NostrclientTime: Time
  },
  inject: ['rest'],
  props: {clients: Array},
  data() {
    return {
      urls: null, // until they are known
      trouble: null,
      busy: false,
      adding: false,
      name: '',
      readsMessages: true,
      shown: null // the URL whose QR code is shown
    }
  },
  computed: {
    // How many clients use each URL now.
    connected() {
      const numbers = {}
      for (const {private_url} of this.clients || []) {
        if (private_url) numbers[private_url] = (numbers[private_url] || 0) + 1
      }
      return numbers
    }
  },
  watch: {
    // Then somebody came or went, and the last uses have changed.
    connected(now, before) {
      if (JSON.stringify(now) !== JSON.stringify(before)) this.load()
    }
  },
  created() {
    this.load()
  },
  methods: {
    // The spelling of a URL differs each time. The one that is shown stays.
    async load() {
      try {
        const known = new Map((this.urls || []).map(({id, url}) => [id, url]))
        this.urls = (await this.rest.getPrivateUrls()).map(item => ({
          ...item,
          url: known.get(item.id) || item.url
        }))
      } catch (error) {
        this.trouble = error.message
      }
    },
    // Whether it succeeded.
    async carryOut(change) {
      this.busy = true
      this.trouble = null
      try {
        await change()
      } catch (error) {
        this.trouble = error.message
      }
      await this.load()
      this.busy = false
      return !this.trouble
    },
    copy(url) {
      LNbits.utils.copyText(url, this.$t('nostrclient.copied'))
    },
    openAdd() {
      Object.assign(this, {
        name: '',
        readsMessages: true,
        trouble: null,
        adding: true
      })
    },
    async add() {
      const data = {
        name: this.name.trim(),
        private_messages: this.readsMessages
      }
      if (await this.carryOut(() => this.rest.addPrivateUrl(data))) {
        this.adding = false
      }
    },
    setOpen(item, is_open) {
      const change = () =>
        this.carryOut(() => this.rest.updatePrivateUrl(item.id, {is_open}))
      if (is_open) change()
      else this.ask('close', item, change)
    },
    confirmRevoke(item) {
      this.ask('revoke', item, () =>
        this.carryOut(() => this.rest.revokePrivateUrl(item.id))
      )
    },
    ask(action, {name}, done) {
      const texts = {
        title: this.$t(`nostrclient.private_url_${action}_title`),
        message: this.$t(`nostrclient.private_url_${action}_text`, {name}),
        action: this.$t(
          action === 'close'
            ? 'nostrclient.close'
            : 'nostrclient.private_url_revoke'
        )
      }
      confirm(this, texts, done)
    }
  }
}
