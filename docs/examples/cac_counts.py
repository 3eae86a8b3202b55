"""CACs of each patient, automatic and reviewed: through the API of a running `cacapp review`, then through SQL on the record itself.

    CACAPP_URL=http://127.0.0.1:8350 CACAPP_TOKEN=... python docs/examples/cac_counts.py cacapp.db

The token comes from your account page. The SQL reads SQLite; on PostgreSQL `after->>'is_cac'` takes the place of json_extract.
"""

from __future__ import annotations

import os
import sqlite3
import sys

import requests

SQL = """
WITH held AS (  -- the decision that holds for each cell: the adjudicator's, else the first reading's
  SELECT cell_id, run_id, MAX(CASE position WHEN 'adjudication' THEN 1e15 ELSE 0 END + id) AS rank
  FROM review WHERE position <> 'second' AND kind NOT IN ('comment', 'not_carried') GROUP BY cell_id, run_id
), decided AS (
  SELECT review.cell_id, review.run_id, json_extract(review.after, '$.is_cac') AS is_cac FROM review JOIN held
  ON review.cell_id = held.cell_id AND review.run_id = held.run_id AND review.id = held.rank % 1e15
)
SELECT cell.patient, SUM(cell.is_cac),
  CASE WHEN MAX(cell.run_id IN (SELECT run_id FROM reading)) THEN SUM(COALESCE(decided.is_cac, cell.is_cac)) END
FROM v_cells AS cell LEFT JOIN decided ON decided.cell_id = cell.cell_id AND decided.run_id = cell.run_id
GROUP BY cell.patient ORDER BY cell.patient
"""


def through_the_api(url: str, token: str) -> list[tuple[str, int, int | None]]:
    """Return (patient, automatic CACs, CACs after review or None where nobody has reviewed), page by page."""
    found: list[tuple[str, int, int | None]] = []
    start: int | None = 0
    while start is not None:
        answer = requests.get(f"{url}/api/v1/patients", params={"start": start}, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        answer.raise_for_status()
        page = answer.json()
        counted = [p for p in page["items"] if p["automatic"]]
        found += [(p["code"], p["automatic"]["cacs"], p["reviewed"]["cacs"] if p["reviewed"] else None) for p in counted]
        start = page["next"]
    return found


def through_sql(path: str) -> list[tuple[str, int, int | None]]:
    """Return the same from the record; it is opened for reading only."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as record:
        return record.execute(SQL).fetchall()


if __name__ == "__main__":
    for name, rows in (
        ("API", through_the_api(os.environ["CACAPP_URL"], os.environ["CACAPP_TOKEN"])),
        ("SQL", through_sql(sys.argv[1])),
    ):
        for code, automatic, reviewed in rows:
            after = "not reviewed" if reviewed is None else f"{reviewed} reviewed"
            print(f"{name}  {code}: {automatic} CACs automatic, {after}")
