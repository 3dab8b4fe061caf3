// The admin page. LNbits takes window.PageNostrclient as the page's component, or, as
// here, the promise of one. The parts under js/ are modules that know nothing of each
// other: what they share is handed to them.
window.PageNostrclient = (async () => {
  const folder = '/nostrclient/static'
  const REFRESH_MILLISECONDS = 2000
  const CLOCK_MILLISECONDS = 10000
  const load = name => import(LNbits.utils.url_for(`${folder}/js/${name}.js`))

  // Up to LNbits 1.5 nobody has loaded our texts; later, maybe not the English ones,
  // which stand in for those that a language lacks.
  for (const language of ['en', 'de']) {
    const isWanted = ['en', window.i18n.global.locale].includes(language)
    if (isWanted && !window.i18n.global.te('nostrclient.intro', language)) {
      await LNbits.utils.loadScript(`${folder}/i18n/${language}.js`)
    }
  }
  const TEMPLATES = ['relay-details', 'outbox', 'clients', 'identity'] // besides those in index.vue
  const [
    rest,
    state,
    relays,
    endpoints,
    settings,
    testPanel,
    outbox,
    identity,
    clients
  ] = await Promise.all([
    load('rest'),
    load('state'),
    load('relays'),
    load('endpoints'),
    load('settings'),
    load('test-panel'),
    load('outbox'),
    load('identity'),
    load('clients'),
    ...TEMPLATES.map(name =>
      LNbits.utils.loadTemplate(`${folder}/vue/${name}.vue`)
    )
  ])
  const now = () => Date.now() / 1000
  const isVisible = () => document.visibilityState === 'visible'
  const clock = Vue.reactive({now: now()}) // for "5 minutes ago"
  const visible = Vue.reactive({now: isVisible()})

  return {
    template: '#page-nostrclient',
    components: {
      NostrclientRelays: relays.default,
      NostrclientEndpoints: endpoints.default,
      NostrclientSettings: settings.default,
      NostrclientTestPanel: testPanel.default,
      NostrclientOutbox: outbox.default,
      NostrclientIdentity: identity.default,
      NostrclientClients: clients.default
    },
    provide: {rest, clock, visible},
    data() {
      return {
        relays: null, // until they are known
        clients: null,
        config: null,
        urls: null,
        showSettings: false,
        trouble: null, // why the figures are not fresh
        asked: 0,
        left: false // for another page
      }
    },
    computed: {
      summary() {
        return state.summary(this.relays)
      }
    },
    methods: {
      // Of answers that overtake each other only the one asked for last counts.
      async show(answer) {
        const number = ++this.asked
        try {
          const relays = await answer
          if (number === this.asked) this.take(relays)
        } catch (error) {
          if (number === this.asked) this.trouble = error.message
        }
      },
      take(relays) {
        clock.now = now()
        this.relays = relays.map(state.describe)
        this.trouble = null
      },
      async refresh() {
        clearTimeout(this.timer)
        await Promise.all([
          this.show(rest.getRelays()),
          rest.getClients().then(
            clients => (this.clients = clients),
            () => {} // the relays' answer says what is wrong
          )
        ])
        clearTimeout(this.timer)
        if (visible.now && !this.left) {
          this.timer = setTimeout(this.refresh, REFRESH_MILLISECONDS)
        }
      },
      wake() {
        this.refresh()
        this.clockTimer = setInterval(() => {
          clock.now = now()
        }, CLOCK_MILLISECONDS)
      },
      sleep() {
        clearTimeout(this.timer)
        clearInterval(this.clockTimer)
      },
      onVisibilityChange() {
        if (visible.now === isVisible()) return
        visible.now = isVisible()
        if (visible.now) this.wake()
        else this.sleep()
      },
      async getEndpoints() {
        try {
          this.config = await rest.getConfig()
          this.urls = await rest.getUrls()
        } catch (error) {
          this.trouble = error.message
        }
      }
    },
    created() {
      visible.now = isVisible()
      if (visible.now) this.wake()
      this.getEndpoints()
      document.addEventListener('visibilitychange', this.onVisibilityChange)
    },
    unmounted() {
      this.left = true
      this.sleep()
      document.removeEventListener('visibilitychange', this.onVisibilityChange)
    }
  }
})()
