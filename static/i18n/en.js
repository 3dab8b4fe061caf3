// The texts of nostrclient's pages. For another language copy this file, translate it,
// and put the language in place of 'en'; what is left out there appears in English.
window.i18n.global.mergeLocaleMessage('en', {
  nostrclient: {
    intro:
      'nostrclient stays connected to these relays, so that extensions and apps need only one connection: to one of the endpoints here.',
    not_fresh: 'These figures are not up to date: {reason}',
    milliseconds: '{n} ms',
    cancel: 'Cancel',
    save: 'Save',

    summary_loading: 'Looking at the relays…',
    summary_none: 'No relay to connect to: add one',
    summary_all: 'Nostr works: {connected} of {total} relays connected',
    summary_some: 'Nostr works: {connected} of {total} relays connected',
    summary_connecting: 'Connecting to {total} relays…',
    summary_down:
      'No relay is connected. What is published now waits until one is.',

    relays: 'Relays',
    search: 'Search',
    no_relay:
      'No relay yet. Add one to read and publish on Nostr, for example wss://relay.damus.io',
    column_state: 'State',
    column_url: 'Relay',
    column_ping: 'Ping',
    column_received: 'Received',
    column_sent: 'Sent',
    column_errorCount: 'Errors, notices',
    received_and_sent: '{received} received, {sent} sent',
    state_connected: 'connected',
    state_connecting: 'connecting',
    state_retrying: 'retrying',
    state_retrying_in: 'retrying in {seconds} s',
    state_penalised: 'left alone, it sends garbage',
    state_penalised_in: 'left alone for {seconds} s, it sends garbage',
    state_stopped: 'stopped',
    state_disabled: 'disabled',

    add: 'Add',
    add_label: 'Relay URL',
    add_hint: 'Starts with wss:// or, without encryption, ws://',
    url_missing: 'Enter the URL of a relay.',
    url_scheme: 'A relay URL starts with wss:// or ws://',
    url_invalid: 'This is not a valid URL.',
    url_too_much: 'A relay URL has no user name, password or #fragment.',
    remove: 'Remove',
    remove_relay: 'Remove {url}',
    remove_title: 'Remove this relay?',
    remove_text: '{url} will be disconnected and forgotten.',

    show_log: 'Errors ({errors}) and notices ({notices}) of {url}',
    errors_title: 'Errors, newest first',
    notices_title: 'Notices from the relay, newest first',
    nothing: 'none',

    endpoints: 'Endpoints',
    private_endpoint: 'Private endpoint',
    private_open: 'Private endpoint: open',
    private_closed: 'Private endpoint: closed',
    private_hint: 'For extensions, and for those you give this URL.',
    private_setting:
      'A WebSocket with a secret URL, which extensions of this LNbits use.',
    public_endpoint: 'Public endpoint',
    public_open: 'Public endpoint: open',
    public_closed: 'Public endpoint: closed',
    public_hint: 'For everybody who can reach this server.',
    public_setting:
      'A WebSocket for everybody, with narrower limits, to be used like any relay.',
    copy: 'Copy',
    copy_private: 'Copy the URL of the private endpoint',
    copy_public: 'Copy the URL of the public endpoint',
    copied: 'Copied',

    settings: 'Settings',
    closing: 'Closing an endpoint disconnects its clients at once.',

    test: 'Test an endpoint',
    test_caption: 'Send a direct message through it and see it come back',
    test_endpoint: 'Endpoint',
    test_closed: 'This endpoint is closed; Settings opens it.',
    test_recipient: 'Recipient: npub or hex key',
    test_recipient_missing: 'Enter a public key to write to.',
    test_message: 'Message',
    test_message_missing: 'Enter a message.',
    test_default_message: 'Hello from nostrclient',
    test_sender: 'Sender: private key in hex (optional)',
    test_sender_hint:
      'Not your real one! Left empty, a new key is made for this message.',
    test_show_sender: 'Show the private key',
    test_run: 'Send',
    test_step_made: 'Message signed, sender {sender}',
    test_step_opened: 'Connection {connection} is open',
    test_step_subscribed: 'Connection 1 subscribes to the message (REQ)',
    test_step_eose: 'No stored copies any more (EOSE)',
    test_step_sent: 'Connection 2 publishes the message (EVENT)',
    test_step_ok: 'Accepted (OK): {text}',
    test_step_received: 'Received back on connection 1 (EVENT)',
    test_step_notice: 'NOTICE on connection {connection}: {text}',
    test_success:
      'It works: the message came back {milliseconds} ms after it was sent.',
    test_queued:
      'No relay has taken the message yet. nostrclient keeps it and goes on trying ({text}).',
    test_error_refused:
      'The endpoint refused the connection. It may be closed (see Settings), have too many clients, or be out of reach behind a proxy.',
    test_error_timeout: 'The endpoint did not answer.',
    test_error_closed: 'The endpoint closed the connection ({code} {reason}).',
    test_error_no_eose: 'The subscription was not answered with EOSE.',
    test_error_unsubscribed: 'The subscription was refused: {text}',
    test_error_no_ok: 'The message was not answered with OK.',
    test_error_not_accepted: 'The message was refused: {text}',
    test_error_not_back:
      'The message was accepted, but did not come back to the subscription.'
  }
})
