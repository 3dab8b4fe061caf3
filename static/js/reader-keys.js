// The keys of shops, wallets and signers on this server: relays give private messages to
// their owners only (NIP-42).

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, confirm} = await part('parts')

export default {
  template: '#nostrclient-reader-keys',
  components: {NostrclientCard: Card},
  inject: ['rest'],
  data() {
    return {
      keys: null, // until they are known
      merchants: null, // {enabled, merchants: [{npub, pubkey}...]}
      trouble: null,
      busy: false,
      adding: false,
      nsec: '',
      label: ''
    }
  },
  created() {
    this.carryOut(async () => {
      this.keys = await this.rest.getReaderKeys()
      this.merchants = await this.rest.getMerchants()
    })
  },
  methods: {
    // Whether it succeeded.
    async carryOut(change) {
      this.busy = true
      this.trouble = null
      try {
        await change()
      } catch (error) {
        this.trouble = error.message
      }
      this.busy = false
      return !this.trouble
    },
    copy(npub) {
      LNbits.utils.copyText(npub, this.$t('nostrclient.copied'))
    },
    openAdd() {
      this.nsec = ''
      this.label = ''
      this.trouble = null
      this.adding = true
    },
    // The field holds a private key: it is emptied however the dialog is closed.
    closeAdd() {
      this.nsec = ''
      this.adding = false
    },
    async add() {
      const nsec = this.nsec.trim()
      const label = this.label.trim()
      const isAdded = await this.carryOut(async () => {
        await this.rest.addReaderKey(nsec, label)
        this.keys = await this.rest.getReaderKeys()
      })
      if (isAdded) this.closeAdd()
    },
    confirmRemove({npub, pubkey, label}) {
      const name = label ? `${label} (${npub})` : npub
      const texts = {
        title: this.$t('nostrclient.reader_key_remove_title'),
        message: this.$t('nostrclient.reader_key_remove_text', {name}),
        action: this.$t('nostrclient.reader_key_remove')
      }
      confirm(this, texts, () =>
        this.carryOut(async () => {
          this.keys = await this.rest.removeReaderKey(pubkey)
        })
      )
    },
    setMerchants(enabled) {
      return this.carryOut(async () => {
        this.merchants = await this.rest.setMerchants(enabled)
      })
    }
  }
}
