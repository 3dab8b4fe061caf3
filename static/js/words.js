// Numbers, sizes and times as the operator's language writes them.

const locale = () => {
  try {
    return Intl.getCanonicalLocales(window.i18n.global.locale)[0]
  } catch {
    return 'en' // LNbits has languages by names that are none, such as "we"
  }
}

export const number = value => (value || 0).toLocaleString(locale())

const SIZES = ['B', 'KiB', 'MiB', 'GiB']

export function size(bytes) {
  let value = bytes || 0
  let step = 0
  while (value >= 1024 && step < SIZES.length - 1) {
    value /= 1024
    step += 1
  }
  const digits = {maximumFractionDigits: value < 10 && step ? 1 : 0}
  return `${value.toLocaleString(locale(), digits)} ${SIZES[step]}`
}

export const percent = share =>
  share.toLocaleString(locale(), {
    style: 'percent',
    maximumFractionDigits: share < 1 ? 1 : 0
  })

// Seconds as a short duration: "3.1 ms", "12 s", "5 min", "7 days".
export function duration(seconds) {
  const [value, unit] =
    seconds < 1
      ? [seconds * 1000, 'millisecond']
      : seconds < 120
        ? [seconds, 'second']
        : seconds < 7200
          ? [seconds / 60, 'minute']
          : seconds < 172800
            ? [seconds / 3600, 'hour']
            : [seconds / 86400, 'day']
  return value.toLocaleString(locale(), {
    style: 'unit',
    unit,
    unitDisplay: ['hour', 'day'].includes(unit) ? 'long' : 'short',
    maximumFractionDigits: value < 10 ? 1 : 0
  })
}

const SPANS = [
  ['day', 86400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1]
]

// What is `now` and `at` are Unix seconds: "5 minutes ago", "in 3 days".
export function relative(at, now) {
  const seconds = Math.round(at - now)
  const [unit, length] =
    SPANS.find(([, length]) => Math.abs(seconds) >= length) || SPANS.at(-1)
  const format = new Intl.RelativeTimeFormat(locale(), {numeric: 'auto'})
  return format.format(Math.trunc(seconds / length), unit)
}

// A span of time up to `now`, as the name of a text and its number: "5 minutes".
export function span(since, now) {
  const seconds = Math.max(1, Math.round(now - since))
  const [unit, length] = SPANS.find(([, length]) => seconds >= length)
  const n = Math.trunc(seconds / length)
  return {name: n === 1 ? `span_${unit}_1` : `span_${unit}`, n}
}

// The parts of a time that `options` of Intl.DateTimeFormat name.
export const timeAs = (at, options) =>
  new Date(at * 1000).toLocaleString(locale(), options)

export const moment = at => new Date(at * 1000).toLocaleString(locale())

// A time, as how long it is from now; the exact one is shown on hovering.
export const Time = {
  template: '<time :datetime="exact" :title="title" v-text="text"></time>',
  inject: ['clock'],
  props: {at: Number},
  computed: {
    exact() {
      return new Date(this.at * 1000).toISOString()
    },
    title() {
      return moment(this.at)
    },
    text() {
      return relative(this.at, this.clock.now)
    }
  }
}
