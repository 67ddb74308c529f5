-- What each video is for: the backbone learns from `train`, is watched on `validation`, the detector is
-- calibrated on `calibration` (the same people, at the quality that will be judged) and judged on `test`.
-- A dataset without quality levels has compression NULL and fits every wish.
WITH candidates AS (
    SELECT video_key, sha256, uri, label, manipulation, compression, split, identity, source_identity
    FROM videos
    WHERE state = 'present' AND list_contains($datasets, dataset)
),
assigned AS (
    SELECT 'train' AS role, * FROM candidates
    WHERE label = 'real' AND split = 'train' AND coalesce(compression, $train_compression) = $train_compression
    UNION ALL
    SELECT 'validation' AS role, * FROM candidates
    WHERE label = 'real' AND split = 'val' AND coalesce(compression, $train_compression) = $train_compression
    UNION ALL
    SELECT 'calibration' AS role, * FROM candidates
    WHERE label = 'real' AND split = 'val' AND coalesce(compression, $test_compression) = $test_compression
    UNION ALL
    SELECT 'test' AS role, * FROM candidates
    WHERE split = 'test' AND coalesce(compression, $test_compression) = $test_compression
)
SELECT role, video_key, sha256, uri, label, manipulation, identity, source_identity
FROM assigned
ORDER BY role, video_key
