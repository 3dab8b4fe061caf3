// The dialog in which endpoints are opened and closed.

export default {
  template: '#nostrclient-settings',
  inject: ['rest'],
  props: {modelValue: Boolean, config: Object},
  emits: ['update:modelValue', 'saved'],
  data() {
    return {draft: {}, refusal: null, saving: false}
  },
  methods: {
    begin() {
      const {private_ws, public_ws} = this.config
      this.draft = {private_ws, public_ws} // what is not named stays as it is
      this.refusal = null
    },
    async save() {
      this.saving = true
      try {
        this.$emit('saved', await this.rest.updateConfig(this.draft))
        this.$emit('update:modelValue', false)
      } catch (error) {
        this.refusal = error.message
      }
      this.saving = false
    }
  }
}
