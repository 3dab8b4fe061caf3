"""Nostr without a host: keys, events, messages and relays, free of LNbits."""
