-- People who appear, as target or as source, in more than one split.
WITH appearances AS (
    SELECT dataset, identity, split, video_key FROM videos
    WHERE state = 'present' AND split IS NOT NULL AND list_contains($datasets, dataset)
    UNION ALL
    SELECT dataset, source_identity AS identity, split, video_key FROM videos
    WHERE state = 'present' AND split IS NOT NULL AND source_identity IS NOT NULL
        AND list_contains($datasets, dataset)
)
SELECT
    identity,
    string_agg(DISTINCT split, ', ' ORDER BY split) AS splits,
    string_agg(DISTINCT video_key, ', ' ORDER BY video_key) AS video_keys
FROM appearances
GROUP BY dataset, identity
HAVING count(DISTINCT split) > 1
ORDER BY identity
