"""The statements of upstream's migrations, by number."""

MIGRATIONS = {
    1: [
        """
        CREATE TABLE nostrclient.relays (
            id TEXT NOT NULL PRIMARY KEY, url TEXT NOT NULL, active BOOLEAN DEFAULT true
        );
        """
    ],
    2: ["CREATE TABLE nostrclient.config (json_data TEXT NOT NULL);"],
    3: [
        "ALTER TABLE nostrclient.config RENAME COLUMN json_data TO extra",
        "ALTER TABLE nostrclient.config ADD COLUMN owner_id TEXT DEFAULT 'admin'",
    ],
}
