// How a program of this folder talks to the test that started it: lines of JSON out, a
// line in for each `await told()`. The endpoint's URL is its first argument.

import {createInterface} from 'node:readline'
import {finalizeEvent, generateSecretKey, getPublicKey} from 'nostr-tools/pure'
import WebSocket from 'ws'

// Node.js brings one from version 22 on.
globalThis.WebSocket ??= WebSocket

// Whatever happens, it ends: a test does not wait for long.
setTimeout(() => process.exit(3), 90_000).unref()

export const url = process.argv[2]
export const secretKey = generateSecretKey()
export const pubkey = getPublicKey(secretKey)

const lines = createInterface({input: process.stdin})[Symbol.asyncIterator]()

export const tell = (...message) => console.log(JSON.stringify(message))
export const told = async () => (await lines.next()).value
export const seconds = number =>
  new Promise(done => setTimeout(done, number * 1000))

export const until = async condition => {
  while (!condition()) await seconds(0.02)
}

export const note = content =>
  finalizeEvent(
    {kind: 1, created_at: Math.floor(Date.now() / 1000), tags: [], content},
    secretKey
  )
