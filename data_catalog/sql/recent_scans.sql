-- The last scans of some datasets that found something new, at most $per_dataset of each, newest first; of the files
-- that could not be placed the first $most_unplaced, and how many there were.
SELECT
    scan_id, dataset, adapter, root, scanned_at, present, added, changed, renamed, relabelled, unchanged, growing, removed, changes,
    unplaced[1:$most_unplaced] AS unplaced,
    len(unplaced) AS unplaced_total
FROM scans
WHERE list_contains($datasets, dataset)
QUALIFY row_number() OVER (PARTITION BY dataset ORDER BY scanned_at DESC) <= $per_dataset
ORDER BY scanned_at DESC, dataset
