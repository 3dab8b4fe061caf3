// The key with which we authenticate at relays that ask who we are (NIP-42).

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card, confirm} = await part('parts')

export default {
  template: '#nostrclient-identity',
  components: {NostrclientCard: Card},
  inject: ['rest'],
  data() {
    return {
      npub: undefined, // null: there is none
      trouble: null,
      busy: false,
      pasting: false,
      nsec: ''
    }
  },
  created() {
    this.carryOut(this.rest.getIdentity())
  },
  methods: {
    // Whether it succeeded.
    async carryOut(answer) {
      this.busy = true
      this.trouble = null
      try {
        this.npub = (await answer).npub
      } catch (error) {
        this.trouble = error.message
      }
      this.busy = false
      return !this.trouble
    },
    copy() {
      LNbits.utils.copyText(this.npub, this.$t('nostrclient.copied'))
    },
    confirm(name, action, done) {
      const texts = {
        title: this.$t(`nostrclient.${name}_title`),
        message: this.$t('nostrclient.key_lost', {npub: this.npub}),
        action: this.$t(`nostrclient.${action}`)
      }
      confirm(this, texts, done)
    },
    generate() {
      const generate = () => this.carryOut(this.rest.generateIdentity())
      if (this.npub) this.confirm('generate', 'replace', generate)
      else generate()
    },
    forget() {
      this.confirm('forget', 'forget', () =>
        this.carryOut(this.rest.forgetIdentity())
      )
    },
    openPaste() {
      this.nsec = ''
      this.trouble = null
      this.pasting = true
    },
    async paste() {
      const nsec = this.nsec.trim()
      if (await this.carryOut(this.rest.setIdentity(nsec))) this.pasting = false
    }
  }
}
