// A message through an endpoint and back: one connection subscribes, another publishes.

const CONNECT_MILLISECONDS = 10000
const ANSWER_MILLISECONDS = 20000 // a subscription may be answered after 15 s
const LOOK_MILLISECONDS = 500 // between two looks at which relay has answered

// A failure that has a text of its own: nostrclient.test_error_….
class Failure extends Error {
  constructor(name, values = {}) {
    super(name)
    this.values = values
  }
}

// One client of the endpoint. `onMessage` sees everything that comes.
class Connection {
  constructor(url, onMessage) {
    this.received = []
    this.waiting = new Set()
    this.ending = null
    this.socket = new WebSocket(url)
    this.socket.onopen = () => this.take(['open'])
    this.socket.onmessage = ({data}) => this.take(JSON.parse(data), onMessage)
    this.socket.onclose = ({code, reason}) => this.end(code, reason)
  }

  take(message, onMessage) {
    this.received.push(message)
    onMessage?.(message)
    this.waiting.forEach(check => check())
  }

  end(code, reason) {
    this.ending = this.received.length
      ? new Failure('closed', {code, reason})
      : new Failure('refused')
    this.waiting.forEach(check => check())
  }

  opened() {
    const isOpen = message => message[0] === 'open'
    return this.expect(isOpen, new Failure('timeout'), CONNECT_MILLISECONDS)
  }

  send(message) {
    this.socket.send(JSON.stringify(message))
  }

  // The first message that is `wanted`, or `failure` where it does not come.
  expect(wanted, failure, milliseconds = ANSWER_MILLISECONDS) {
    return new Promise((resolve, reject) => {
      const settle = (done, value) => {
        clearTimeout(timer)
        this.waiting.delete(check)
        done(value)
      }
      const check = () => {
        const found = this.received.find(wanted)
        if (found) settle(resolve, found)
        else if (this.ending) settle(reject, this.ending)
      }
      const timer = setTimeout(() => settle(reject, failure), milliseconds)
      this.waiting.add(check)
      check()
    })
  }

  close() {
    this.socket.close()
  }
}

// Passes the event through the endpoint. `note(name, values, data)` hears of every step.
async function passThrough(url, event, open, note) {
  const id = `test-${event.id.slice(0, 16)}`
  const hear = connection => message => {
    if (message[0] === 'NOTICE') {
      note('notice', {connection, text: message[1]}, message)
    }
  }
  const connect = async name => {
    const connection = new Connection(url, hear(name))
    open.push(connection)
    await connection.opened()
    note('opened', {connection: name})
    return connection
  }

  const receiver = await connect('1')
  const request = ['REQ', id, {ids: [event.id]}]
  receiver.send(request)
  note('subscribed', {}, request)
  const answer = await receiver.expect(
    ([verb, key]) => ['EOSE', 'CLOSED'].includes(verb) && key === id,
    new Failure('no_eose')
  )
  if (answer[0] === 'CLOSED')
    throw new Failure('unsubscribed', {text: answer[2]})
  note('eose', {}, answer)

  const sender = await connect('2')
  const sentAt = performance.now()
  sender.send(['EVENT', event])
  note('sent', {}, ['EVENT', event])

  const accepted = sender
    .expect(
      ([verb, key]) => verb === 'OK' && key === event.id,
      new Failure('no_ok')
    )
    .then(ok => {
      const [, , accepted, text] = ok
      if (!accepted) throw new Failure('not_accepted', {text})
      note('ok', {text: text || '–'}, ok)
      return text
    })
  const received = receiver
    .expect(
      ([verb, key, back]) =>
        verb === 'EVENT' && key === id && back.id === event.id,
      new Failure('not_back')
    )
    .then(back => {
      note('received', {}, back)
      return Math.round(performance.now() - sentAt)
    })
  received.catch(() => {}) // where the event is refused, nobody waits for it
  const text = await accepted
  if (text.startsWith('queued:')) return {name: 'queued', values: {text}}
  return {name: 'success', values: {milliseconds: await received}}
}

const OUTCOMES = {
  success: {icon: 'check_circle', color: 'positive'},
  queued: {icon: 'schedule', color: 'warning'},
  failure: {icon: 'error', color: 'red'}
}

// What a relay did with the message: nostrclient.answer_….
function describeAnswer({accepted, message, milliseconds, owed}) {
  const values = {milliseconds: Math.round(milliseconds), text: message}
  if (accepted) return {...OUTCOMES.success, name: 'accepted', values}
  if (accepted === null) return {...OUTCOMES.queued, name: 'none', values}
  if (owed) return {...OUTCOMES.queued, name: 'later', values}
  return {...OUTCOMES.failure, name: 'refused', values}
}

const Step = {template: '#nostrclient-step', props: {step: Object}}

export default {
  template: '#nostrclient-test-panel',
  components: {NostrclientStep: Step},
  inject: ['rest'],
  props: {config: Object, urls: Object},
  data() {
    return {
      endpoint: 'private',
      sender: '',
      showSender: false,
      recipient: '',
      message: this.$t('nostrclient.test_default_message'),
      running: false,
      steps: [],
      outcome: null,
      answers: [] // the relays', each with its URL
    }
  },
  created() {
    this.connections = []
  },
  unmounted() {
    this.hangUp()
    this.stopWatching()
  },
  computed: {
    endpoints() {
      return ['private', 'public'].map(value => ({
        value,
        label: this.$t(`nostrclient.${value}_endpoint`)
      }))
    },
    closed() {
      return this.config && !this.config[`${this.endpoint}_ws`]
    }
  },
  methods: {
    hangUp() {
      this.connections.forEach(connection => connection.close())
      this.connections = []
    },
    stopWatching() {
      clearTimeout(this.timer)
      this.watched = null
    },
    // Looks which relay has answered, and how, until all have or it takes too long.
    async watch(id, until = performance.now() + ANSWER_MILLISECONDS) {
      this.watched = id
      const answers = await this.rest.getTestAnswers(id).catch(() => null)
      if (this.watched !== id || !answers) return
      this.answers = answers.map(answer => ({
        url: answer.url,
        ...describeAnswer(answer)
      }))
      const isDone = answers.length && !answers.some(answer => answer.owed)
      if (isDone || performance.now() > until) return
      this.timer = setTimeout(() => this.watch(id, until), LOOK_MILLISECONDS)
    },
    pretty: data => JSON.stringify(data, null, 2),
    async run() {
      this.hangUp()
      this.stopWatching()
      this.running = true
      this.answers = []
      this.steps = []
      this.outcome = null
      const start = performance.now()
      const note = (name, values, data) =>
        this.steps.push({
          after: Math.round(performance.now() - start),
          text: this.$t(`nostrclient.test_step_${name}`, values),
          data
        })
      try {
        const made = await this.rest.makeTestEvent({
          sender_private_key: this.sender.trim() || null,
          reciever_public_key: this.recipient.trim(),
          message: this.message
        })
        const [, event] = JSON.parse(made.event_json)
        note('made', {sender: event.pubkey}, event)
        this.watch(event.id)
        const outcome = await passThrough(
          this.urls[this.endpoint],
          event,
          this.connections,
          note
        )
        this.outcome = {
          ...OUTCOMES[outcome.name],
          text: this.$t(`nostrclient.test_${outcome.name}`, outcome.values)
        }
      } catch (error) {
        this.outcome = {
          ...OUTCOMES.failure,
          text:
            error instanceof Failure
              ? this.$t(`nostrclient.test_error_${error.message}`, error.values)
              : error.message
        }
      }
      this.hangUp()
      this.running = false
    }
  }
}
