// @getalby/sdk: a wallet-connect client. Its second argument is the connection's URL.

import {NWCClient} from '@getalby/sdk'
import {tell, told} from './common.mjs'

const client = new NWCClient({nostrWalletConnectUrl: process.argv[3]})
tell('wallet', await client.getWalletServiceInfo())
tell('info', (await client.getInfo()).alias)
tell('balance', (await client.getBalance()).balance)

let number = 0
const pay = count =>
  Promise.all(
    Array.from({length: count}, () =>
      client.payInvoice({invoice: `lnbc-${number++}`})
    )
  )
for (let line = await told(); line !== 'end'; line = await told())
  tell(
    'paid',
    (await pay(Number(line))).map(answer => answer.preimage)
  )
client.close()
tell('end', number)
process.exit(0)
