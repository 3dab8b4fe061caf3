// The dialog with the endpoints' switches and every number nostrclient goes by.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Search} = await part('parts')
const {settingLabel} = await part('messages')
const {default: SENTENCES} = await part('setting-sentences')
const {duration, number, size} = await part('words')

// How the public endpoint presents itself (NIP-11).
const FACE = [
  'name',
  'description',
  'public_url',
  'icon',
  'contact',
  'pubkey',
  'terms'
]

// Who may do what on the public endpoint.
const GUEST_SWITCHES = ['auth_to_read', 'auth_to_publish']
const GUEST_LISTS = [
  'allow_pubkeys',
  'deny_pubkeys',
  'allow_kinds',
  'deny_kinds',
  'allow_addresses',
  'deny_addresses'
]

// Both endpoints' limits have the same sentences.
export function sentence({name, description}) {
  const own = name.split('.').at(-1)
  return SENTENCES[window.i18n.global.locale]?.[own] || description
}

const entries = text => (text || '').split(/[\s,]+/).filter(Boolean)

const UNFOLDED_MILLISECONDS = 350 // until a group has unfolded

export default {
  template: '#nostrclient-settings',
  components: {NostrclientSearch: Search},
  inject: ['rest'],
  props: {modelValue: Boolean, config: Object},
  emits: ['update:modelValue', 'saved'],
  data() {
    return {
      face: FACE,
      guestSwitches: GUEST_SWITCHES,
      guestLists: GUEST_LISTS,
      draft: {face: {}, guests: {}},
      settings: [], // as the server gives them, and `text`: what is in the field
      filter: '',
      opened: [], // the groups that show their settings; while searching, all do
      refused: [], // the names of settings that the server spoke of
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
  unmounted() {
    clearTimeout(this.timer)
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
    // A number as a person reads it: 7 days, 32 MiB; empty where it is as short.
    inWords({unit}, value) {
      if (unit === 'seconds' && value >= 120) return duration(value)
      if (unit === 'bytes' && value >= 1024) return size(value)
      return ''
    },
    hint(setting) {
      const value = this.inWords(setting, Number(setting.text))
      const standard = this.$t('nostrclient.setting_default', {
        value: number(setting.default),
        unit: this.unit(setting)
      })
      return [
        value && `${this.$t('nostrclient.hint_in_words', {value})}.`,
        `${standard.trim()}.`,
        sentence(setting)
      ]
        .filter(Boolean)
        .join(' ')
    },
    changedText(members) {
      const n = members.filter(setting => !this.isDefault(setting)).length
      return n ? this.$t('nostrclient.settings_changed', {n}) : undefined
    },
    open(group, isOpen) {
      const others = this.opened.filter(other => other !== group)
      this.opened = isOpen ? [...others, group] : others
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
      const {proxy_url = '', proxy_mode = 'onion'} = this.config
      // What is not named stays as it is.
      this.draft = {private_ws, public_ws, proxy_url, proxy_mode}
      const told = this.config.face || {}
      this.draft.face = Object.fromEntries(
        FACE.map(name => [name, told[name] || ''])
      )
      const rules = this.config.guests || {}
      this.draft.guests = Object.fromEntries([
        ...GUEST_SWITCHES.map(name => [name, rules[name] || false]),
        ...GUEST_LISTS.map(name => [name, (rules[name] || []).join('\n')])
      ])
      this.refusal = null
      this.refused = []
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
    // Marks settings and opens their groups.
    show(names) {
      this.refused = names
      const byName = name => this.settings.find(it => it.name === name)
      const found = names.map(byName).filter(Boolean)
      if (!found.length) return
      this.filter = ''
      this.opened = [...new Set([...this.opened, ...found.map(this.group)])]
      const field = `[data-setting="${found[0].name}"]`
      clearTimeout(this.timer)
      this.timer = setTimeout(
        () => document.querySelector(field)?.scrollIntoView({block: 'center'}),
        UNFOLDED_MILLISECONDS
      )
    },
    async save() {
      const wrong = this.settings.find(setting => !this.isValid(setting))
      this.refused = []
      if (wrong) {
        this.show([wrong.name])
        this.refusal = this.$t('nostrclient.setting_wrong', {
          name: this.label(wrong)
        })
        return
      }
      this.saving = true
      try {
        const config = {
          ...this.draft,
          proxy_url: (this.draft.proxy_url || '').trim(),
          guests: {...this.draft.guests}
        }
        for (const name of GUEST_LISTS) {
          config.guests[name] = entries(config.guests[name])
        }
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
        const named = [...(error.told || '').matchAll(/'([^']+)'/g)]
        this.show(named.map(([, name]) => name))
      }
      this.saving = false
    }
  }
}
