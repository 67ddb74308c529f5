-- The last scan of a dataset that found something new.
SELECT scan_id, dataset, adapter, root, scanned_at, present, added, changed, renamed, relabelled, unchanged, growing, removed,
    changes, unplaced
FROM scans
WHERE dataset = $dataset
ORDER BY scanned_at DESC
LIMIT 1
