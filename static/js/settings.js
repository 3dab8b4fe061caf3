// The dialog with the endpoints' switches and every number nostrclient goes by.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Search} = await part('parts')
const {settingLabel} = await part('messages')
const {number} = await part('words')

export default {
  template: '#nostrclient-settings',
  components: {NostrclientSearch: Search},
  inject: ['rest'],
  props: {modelValue: Boolean, config: Object},
  emits: ['update:modelValue', 'saved'],
  data() {
    return {
      draft: {},
      settings: [], // as the server gives them, and `text`: what is in the field
      filter: '',
      refusal: null,
      saving: false
    }
  },
  computed: {
    // What the filter leaves, as [group, settings]. The server's refusals call settings
    // by their names, which are found, too.
    groups() {
      const words = this.filter.toLowerCase().split(/\s+/)
      const groups = new Map()
      for (const setting of this.settings) {
        const group = this.group(setting)
        const text = `${group} ${this.label(setting)} ${setting.name}`
        if (!words.every(word => text.toLowerCase().includes(word))) continue
        if (!groups.has(group)) groups.set(group, [])
        groups.get(group).push(setting)
      }
      return [...groups]
    },
    changed() {
      return this.settings.filter(
        setting => Number(setting.text) !== setting.value
      )
    }
  },
  methods: {
    number,
    group({group}) {
      const name = group.toLowerCase().replace(/[^a-z]+/g, '_')
      return this.$t(`nostrclient.group_${name}`)
    },
    label: ({name}) => settingLabel(name),
    unit({unit}) {
      return unit && this.$t(`nostrclient.unit_${unit.replace(' ', '_')}`)
    },
    isDefault: setting => Number(setting.text) === setting.default,
    isValid: ({text, integer}) =>
      String(text ?? '').trim() !== '' &&
      Number(text) >= 0 &&
      (!integer || Number.isInteger(Number(text))),
    reset(setting) {
      setting.text = String(setting.default)
    },
    resetAll() {
      this.settings.forEach(this.reset)
    },
    async begin() {
      const {private_ws, public_ws} = this.config
      this.draft = {private_ws, public_ws} // what is not named stays as it is
      this.refusal = null
      this.filter = ''
      this.settings = []
      try {
        const settings = await this.rest.getSettings()
        this.settings = settings.map(setting => ({
          ...setting,
          text: String(setting.value)
        }))
      } catch (error) {
        this.refusal = error.message
      }
    },
    async save() {
      const wrong = this.settings.find(setting => !this.isValid(setting))
      if (wrong) {
        this.refusal = this.$t('nostrclient.setting_wrong', {
          name: this.label(wrong)
        })
        return
      }
      this.saving = true
      try {
        const config = {...this.draft}
        if (this.changed.length) {
          // All that are not the default, so that nothing else changes.
          const named = this.settings.filter(
            setting =>
              !this.isDefault(setting) || this.changed.includes(setting)
          )
          config.settings = Object.fromEntries(
            named.map(({name, text}) => [name, Number(text)])
          )
        }
        this.$emit('saved', await this.rest.updateConfig(config))
        if (config.settings) {
          this.$q.notify({message: this.$t('nostrclient.settings_later')})
        }
        this.$emit('update:modelValue', false)
      } catch (error) {
        this.refusal = error.message
      }
      this.saving = false
    }
  }
}
