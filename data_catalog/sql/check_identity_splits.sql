-- People who appear, as target or as source, and originals whose fakes or selves appear, for more than one purpose.
-- The same content under two names counts too. Reads roles(role, video_key, sha256, identity, source_identity,
-- original_key).
WITH purposes AS (
    SELECT
        CASE
            WHEN role IN ('train', 'density') THEN 'train'
            WHEN role IN ('validation', 'calibration') THEN 'validation'
            ELSE role
        END AS purpose,
        video_key, sha256, identity, source_identity, original_key
    FROM roles
),
appearances AS (
    SELECT 'person' AS kind, identity, purpose, video_key FROM purposes
    UNION ALL
    SELECT 'person' AS kind, source_identity AS identity, purpose, video_key
    FROM purposes WHERE source_identity IS NOT NULL
    UNION ALL
    SELECT 'original' AS kind, original_key AS identity, purpose, video_key
    FROM purposes WHERE original_key IS NOT NULL
    UNION ALL
    SELECT 'original' AS kind, video_key AS identity, purpose, video_key FROM purposes
    UNION ALL
    SELECT 'content' AS kind, left(sha256, 12) AS identity, purpose, video_key FROM purposes
)
SELECT
    kind,
    identity,
    string_agg(DISTINCT purpose, ', ' ORDER BY purpose) AS purposes,
    string_agg(DISTINCT video_key, ', ' ORDER BY video_key) AS video_keys
FROM appearances
GROUP BY kind, identity
HAVING count(DISTINCT purpose) > 1
ORDER BY kind DESC, identity
