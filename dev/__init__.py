"""Developer tools: start a real LNbits and real relays, and show them working."""
