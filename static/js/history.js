// The relays' history, as the server keeps it: fetched to be drawn, and not kept here.

const part = name => import(`./${name}.js${new URL(import.meta.url).search}`)
const {Card} = await part('parts')
const {duration, moment, number, percent, timeAs} = await part('words')

const DAY_SECONDS = 86400
const BAR_SECONDS = 1800
const BARS = DAY_SECONDS / BAR_SECONDS
const REFRESH_MILLISECONDS = 300000 // as often as the server writes

// The times of the last 24 hours, in bars of 30 minutes: how much of each a relay was
// connected; null where nothing is known.
export function bars(points, now) {
  const first = Math.floor(now / BAR_SECONDS) - BARS + 1
  const found = Array.from({length: BARS}, (_, index) => ({
    at: (first + index) * BAR_SECONDS,
    uptime: null
  }))
  for (const {at, uptime} of points) {
    const bar = found[Math.floor(at / BAR_SECONDS) - first]
    if (bar) bar.uptime = uptime
  }
  return found
}

// The mean of what is known, or null.
export function mean(values) {
  const known = values.filter(value => value !== null)
  if (!known.length) return null
  return known.reduce((sum, value) => sum + value, 0) / known.length
}

const COLORS = {received: '#1976d2', latency: '#f57c00', uptime: '#2e7d32'}

// What Chart.js is to draw of some points.
export function chartOptions(points, {text, color, time}) {
  const axis = (position, title, more = {}) => ({
    position,
    beginAtZero: true,
    ticks: {color, maxTicksLimit: 6},
    grid: {drawOnChartArea: position === 'left', color: `${color}22`},
    title: {display: true, text: title, color},
    ...more
  })
  const line = (name, values, yAxisID) => ({
    type: 'line',
    label: text(name),
    data: values,
    yAxisID,
    borderColor: COLORS[name],
    backgroundColor: COLORS[name],
    borderWidth: 2,
    pointRadius: 0,
    spanGaps: false
  })
  return {
    type: 'bar',
    data: {
      labels: points.map(({at}) => time(at)),
      datasets: [
        line(
          'uptime',
          points.map(({uptime}) => Math.round(1000 * uptime) / 10),
          'share'
        ),
        line(
          'latency',
          points.map(it => it.latency_ms),
          'latency'
        ),
        {
          label: text('received'),
          data: points.map(({received}) => received),
          yAxisID: 'events',
          backgroundColor: `${COLORS.received}99`
        }
      ]
    },
    options: {
      animation: false,
      locale: window.i18n.global.locale,
      responsive: true,
      maintainAspectRatio: false,
      interaction: {mode: 'index', intersect: false},
      plugins: {legend: {labels: {color, boxWidth: 12}}},
      scales: {
        x: {
          ticks: {color, maxTicksLimit: 8, maxRotation: 0},
          grid: {display: false}
        },
        events: axis('left', text('received')),
        latency: axis('right', text('latency')),
        share: axis('right', text('uptime'), {display: false, min: 0, max: 100})
      }
    }
  }
}

// A canvas that Chart.js draws on, in the colours of the theme.
const Chart = {
  template: '#nostrclient-chart',
  props: {points: Array, label: String, byDay: Boolean},
  mounted() {
    this.draw()
  },
  unmounted() {
    this.chart?.destroy()
  },
  watch: {
    points() {
      this.draw()
    },
    '$q.dark.isActive'() {
      this.$nextTick(this.draw)
    }
  },
  methods: {
    draw() {
      this.chart?.destroy()
      const {canvas} = this.$refs
      if (!canvas || !window.Chart) return
      const {color} = getComputedStyle(canvas)
      const [red, green, blue] = color.match(/\d+/g).map(Number)
      const hex = [red, green, blue]
        .map(part => part.toString(16).padStart(2, '0'))
        .join('')
      const shape = this.byDay
        ? {weekday: 'short', hour: '2-digit'}
        : {hour: '2-digit', minute: '2-digit'}
      const options = chartOptions(this.points, {
        text: name => this.$t(`nostrclient.history_${name}`),
        color: `#${hex}`,
        time: at => timeAs(at, shape)
      })
      this.chart = new window.Chart(canvas, options)
    }
  }
}

// Fetches now, and again for as long as the component is there.
const Fetching = {
  inject: ['rest', 'clock'],
  data: () => ({history: null, trouble: null}),
  mounted() {
    this.fetch()
    this.timer = setInterval(this.fetch, REFRESH_MILLISECONDS)
  },
  unmounted() {
    clearInterval(this.timer)
  },
  methods: {
    async fetch() {
      if (document.visibilityState === 'hidden') return
      try {
        this.history = Object.freeze(await this.ask())
        this.trouble = null
      } catch (error) {
        this.trouble = error.message
      }
    }
  }
}

export const RelayHistory = {
  template: '#nostrclient-relay-history',
  components: {NostrclientChart: Chart},
  mixins: [Fetching],
  props: {url: String},
  computed: {
    bars() {
      return bars(this.history?.points || [], this.clock.now)
    },
    day() {
      return mean(this.bars.map(({uptime}) => uptime))
    },
    week() {
      return mean((this.history?.points || []).map(({uptime}) => uptime))
    },
    summary() {
      if (this.day === null) return this.$t('nostrclient.figure_unknown')
      return this.$t('nostrclient.uptimes', {
        day: percent(this.day),
        week: percent(this.week)
      })
    }
  },
  methods: {
    moment,
    duration,
    ask() {
      return this.rest.getRelayHistory(this.url)
    },
    barColor: ({uptime}) =>
      uptime === null
        ? '#9e9e9e55'
        : uptime > 0.99
          ? '#2e7d32'
          : uptime > 0.5
            ? '#f9a825'
            : '#c62828',
    barTitle({at, uptime}) {
      return `${moment(at)}: ${uptime === null ? '–' : percent(uptime)}`
    }
  }
}

export default {
  template: '#nostrclient-history',
  components: {NostrclientCard: Card, NostrclientChart: Chart},
  mixins: [Fetching],
  data: () => ({span: 'day'}),
  computed: {
    spans() {
      return ['day', 'week'].map(value => ({
        value,
        label: this.$t(`nostrclient.history_${value}`)
      }))
    },
    points() {
      const points = this.history?.points || []
      const since = this.clock.now - DAY_SECONDS
      return this.span === 'week'
        ? points
        : points.filter(({at}) => at >= since)
    },
    worst() {
      return [...(this.history?.uptimes || [])]
        .filter(({day}) => day !== null && day < 0.999)
        .sort((a, b) => a.day - b.day)
        .slice(0, 5)
    },
    label() {
      const received = this.points.reduce((sum, it) => sum + it.received, 0)
      return this.$t('nostrclient.history_label', {
        received: number(received),
        uptime: percent(mean(this.points.map(({uptime}) => uptime)) ?? 0)
      })
    }
  },
  methods: {
    percent,
    ask() {
      return this.rest.getHistory()
    }
  }
}
