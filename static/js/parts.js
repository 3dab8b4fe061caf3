// What several cards are made of.

export const Card = {
  template: '#nostrclient-card',
  props: {title: String, intro: String}
}

export const Search = {
  template: '#nostrclient-search',
  props: {modelValue: String},
  emits: ['update:modelValue']
}

export const State = {
  template: '#nostrclient-state',
  inject: ['clock'],
  props: {state: Object, retryAt: Number},
  computed: {
    // Until the next try; 0 where none is due.
    seconds() {
      return Math.max(0, Math.ceil(this.retryAt - this.clock.now))
    }
  }
}

// In a table without rows: no warning sign, for nothing is wrong.
export const Empty = {
  template: '#nostrclient-empty',
  props: {text: String}
}

// A URL as a QR code, shown while there is one.
export const QrDialog = {
  template: '#nostrclient-qr',
  props: {title: String, url: String},
  emits: ['close']
}

// Asks back before what cannot be undone. `action` is the text of the button.
export function confirm(component, {title, message, action}, done) {
  component.$q
    .dialog({
      'aria-label': title,
      style: 'overflow-wrap: anywhere', // ids and URLs are long
      title,
      message,
      focus: 'cancel',
      ok: {label: action, color: 'negative', unelevated: true},
      cancel: {label: component.$t('nostrclient.cancel'), flat: true}
    })
    .onOk(done)
}
