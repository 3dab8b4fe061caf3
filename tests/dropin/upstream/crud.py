"""A module of a name that nostrclient has too, with less in it."""

from lnbits.db import Database

db = Database("ext_nostrclient")
