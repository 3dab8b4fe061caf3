// What changes, as the server tells it, for as long as somebody looks.

const FIRST_MILLISECONDS = 1000 // until the first try to connect again; then twice that
const MOST_MILLISECONDS = 30000
const SILENCE_MILLISECONDS = 30000 // a connection may be dead without ever ending

export class Live {
  // `getUrl` promises the URL of a new connection. `take(told, isAll)` is handed all there
  // is at first, then what has changed. `fail(error)` hears why nothing comes; null: a
  // connection ended that had told nothing.
  constructor(getUrl, take, fail) {
    this.getUrl = getUrl
    this.take = take
    this.fail = fail
  }

  open() {
    this.close()
    this.delay = FIRST_MILLISECONDS
    this.connect()
  }

  close() {
    clearTimeout(this.timer)
    this.turn = null
    this.socket?.close()
    this.socket = null
  }

  async connect() {
    this.close()
    const turn = (this.turn = {}) // what comes of an earlier one is too late
    const isOver = () => this.turn !== turn
    this.connectAfter(SILENCE_MILLISECONDS)
    try {
      const url = await this.getUrl()
      if (!isOver()) this.listen(url, isOver)
    } catch (error) {
      if (isOver()) return
      this.fail(error)
      this.tryAgain()
    }
  }

  listen(url, isOver) {
    let isAll = true
    this.socket = new WebSocket(url)
    this.socket.onmessage = ({data}) => {
      if (isOver()) return
      this.delay = FIRST_MILLISECONDS
      this.connectAfter(SILENCE_MILLISECONDS)
      this.take(JSON.parse(data), isAll)
      isAll = false
    }
    this.socket.onclose = () => {
      if (isOver()) return
      // One that has told something may have ended for an upgrade: no trouble yet.
      if (isAll) this.fail(null)
      this.tryAgain()
    }
  }

  tryAgain() {
    this.connectAfter(this.delay)
    this.delay = Math.min(2 * this.delay, MOST_MILLISECONDS)
  }

  connectAfter(milliseconds) {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.connect(), milliseconds)
  }
}
