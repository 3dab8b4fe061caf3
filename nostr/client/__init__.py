"""The client as other extensions know it."""
