"""Tables out of records: csv, json, markdown. The page will live here too."""
