// The figures of all relays and clients together, as tiles.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {number, percent, duration} = await part('words')

export default {
  template: '#nostrclient-figures',
  props: {status: Object},
  computed: {
    tiles() {
      const figures = this.status?.figures
      if (!figures) return []
      const unknown = this.$t('nostrclient.figure_unknown')
      const hint = (name, values) =>
        this.$t(`nostrclient.figure_${name}`, values)
      const delay = (name, value) => ({
        name,
        value: value ? duration(value.median) : '–',
        hint: value ? hint('p95', {value: duration(value.p95)}) : unknown
      })
      const share = (name, value) => ({
        name,
        value: value == null ? '–' : percent(value),
        hint: value == null ? unknown : hint(`${name}_hint`)
      })
      const recovered = Object.values(figures.recovered)
      const total = recovered.reduce((sum, count) => sum + count, 0)
      return [
        delay('discovery', figures.discovery),
        delay('processing', figures.processing),
        share('uptime', figures.uptime),
        share('success', figures.success),
        {
          name: 'recovered',
          value: number(total),
          hint: hint('recovered_hint')
        }
      ]
    }
  }
}
