// The admin page. LNbits takes window.PageNostrclient as the page's component, or, as
// here, the promise of one. The parts under js/ are modules that know nothing of each
// other: what they share is handed to them. A module loads another one under the version
// that it was loaded with itself, so that an upgrade never mixes two versions from the
// browser's cache.
window.PageNostrclient = (async () => {
  const folder = '/nostrclient/static'
  const CLOCK_MILLISECONDS = 1000
  const load = name => import(LNbits.utils.url_for(`${folder}/js/${name}.js`))

  // Up to LNbits 1.5 nobody has loaded our texts; later, maybe not the English ones,
  // which stand in for those that a language lacks.
  for (const language of ['en', 'de']) {
    const isWanted = ['en', window.i18n.global.locale].includes(language)
    if (isWanted && !window.i18n.global.te('nostrclient.intro', language)) {
      await LNbits.utils.loadScript(`${folder}/i18n/${language}.js`)
    }
  }
  // Besides those in index.vue.
  const TEMPLATES = [
    'relays',
    'import-relays',
    'relay-details',
    'figures',
    'history',
    'outbox',
    'clients',
    'identity',
    'reader-keys',
    'private-urls',
    'named-relays'
  ]
  const [
    rest,
    {Live},
    state,
    relays,
    endpoints,
    settings,
    testPanel,
    outbox,
    identity,
    readerKeys,
    privateUrls,
    namedRelays,
    clients,
    figures,
    about,
    history,
    words,
    parts
  ] = await Promise.all([
    load('rest'),
    load('live'),
    load('state'),
    load('relays'),
    load('endpoints'),
    load('settings'),
    load('test-panel'),
    load('outbox'),
    load('identity'),
    load('reader-keys'),
    load('private-urls'),
    load('named-relays'),
    load('clients'),
    load('figures'),
    load('about'),
    load('history'),
    load('words'),
    load('parts'),
    ...TEMPLATES.map(name =>
      LNbits.utils.loadTemplate(`${folder}/vue/${name}.vue`)
    )
  ])
  const now = () => Date.now() / 1000
  const clock = Vue.reactive({now: now()}) // for "5 minutes ago" and "in 3 s"

  return {
    template: '#page-nostrclient',
    components: {
      NostrclientRelays: relays.default,
      NostrclientEndpoints: endpoints.default,
      NostrclientSettings: settings.default,
      NostrclientTestPanel: testPanel.default,
      NostrclientOutbox: outbox.default,
      NostrclientIdentity: identity.default,
      NostrclientReaderKeys: readerKeys.default,
      NostrclientNamedRelays: namedRelays.default,
      NostrclientPrivateUrls: privateUrls.default,
      NostrclientClients: clients.default,
      NostrclientFigures: figures.default,
      NostrclientAbout: about.default,
      NostrclientHistory: history.default
    },
    provide: {rest, clock},
    data() {
      return {
        relays: null, // until they are known
        clients: null,
        status: null,
        restartNeeded: false, // settings were saved that are not in force
        restarting: false,
        outbox: null, // how much waits; that card itself asks what
        config: null,
        urls: null,
        showSettings: false,
        trouble: null // why the figures are not fresh
      }
    },
    computed: {
      summary() {
        return state.summary(this.relays, {
          status: this.status,
          isStale: Boolean(this.trouble),
          now: clock.now
        })
      }
    },
    methods: {
      take(told, isAll) {
        clock.now = now()
        this.timesTold += 1
        this.trouble = null
        if (told.relays || told.removed) {
          const rows = isAll ? [] : this.relays
          this.relays = state.changed(rows, told, clock.now)
        }
        if (told.clients) this.clients = Object.freeze(told.clients)
        if (told.outbox) this.outbox = told.outbox
        if (told.status) this.status = Object.freeze(told.status)
        if (isAll) this.getEndpoints() // maybe nobody answered before
      },
      // The answer to a change shows it at once; but what was told since it was asked
      // for may be newer, and what is told next has the change.
      async show(answer) {
        const {timesTold} = this
        try {
          const relays = await answer
          if (timesTold === this.timesTold) {
            this.relays = state.changed([], {relays}, now())
          }
        } catch {
          // Whoever asked says why.
        }
      },
      causeText({name, values = {}, since}) {
        if (since === undefined) {
          return this.$t(`nostrclient.cause_${name}`, values)
        }
        const {name: span, n} = words.span(since, clock.now)
        return this.$t(`nostrclient.cause_${name}`, {
          ...values,
          span: this.$t(`nostrclient.${span}`, {n})
        })
      },
      goTo({card, url}) {
        if (url) {
          this.$refs.relays.reveal(url)
          return
        }
        document
          .getElementById(`nostrclient-card-${card}`)
          ?.scrollIntoView({block: 'start'})
      },
      onSaved(config) {
        this.config = config
        this.checkSettings()
      },
      async checkSettings() {
        try {
          const settings = await rest.getSettings()
          this.restartNeeded = settings.some(
            ({value, in_force}) => value !== in_force
          )
        } catch {
          // Then nobody knows.
        }
      },
      confirmRestart() {
        const texts = {
          title: this.$t('nostrclient.restart_title'),
          message: this.$t('nostrclient.restart_text'),
          action: this.$t('nostrclient.restart')
        }
        parts.confirm(this, texts, this.restart)
      },
      async restart() {
        this.restarting = true
        try {
          await rest.restart()
        } catch (error) {
          this.$q.notify({type: 'negative', message: error.message})
        }
        await this.checkSettings()
        this.restarting = false
      },
      complain(error) {
        this.trouble = error?.message || this.$t('nostrclient.nothing_told')
      },
      wake() {
        this.sleep()
        this.live.open()
        this.clockTimer = setInterval(() => {
          clock.now = now()
        }, CLOCK_MILLISECONDS)
      },
      sleep() {
        this.live.close()
        clearInterval(this.clockTimer)
      },
      onVisibilityChange() {
        if (document.visibilityState === 'visible') this.wake()
        else this.sleep()
      },
      async getEndpoints() {
        if (this.urls || this.asking) return
        this.asking = true
        try {
          this.config = await rest.getConfig()
          this.urls = await rest.getUrls()
          await this.checkSettings()
        } catch (error) {
          this.complain(error)
        }
        this.asking = false
      }
    },
    created() {
      this.timesTold = 0
      this.live = new Live(rest.getLiveUrl, this.take, this.complain)
      this.onVisibilityChange()
      this.getEndpoints()
      document.addEventListener('visibilitychange', this.onVisibilityChange)
    },
    unmounted() {
      this.sleep()
      document.removeEventListener('visibilitychange', this.onVisibilityChange)
    }
  }
})()
