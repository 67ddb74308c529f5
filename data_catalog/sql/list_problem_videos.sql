-- The videos of some datasets that give no usable faces now, and why: at most $most of them, of every status alike many
-- as far as there are, and how many there are in all.
WITH problems AS (
    SELECT
        videos.video_key,
        CASE WHEN videos.state = 'growing' THEN 'growing' ELSE coalesce(extraction_log.status, 'pending') END AS status,
        CASE
            WHEN videos.state = 'growing' THEN 'still being written, ' || videos.size_bytes || ' bytes so far'
            ELSE coalesce(extraction_log.reason, 'no outcome yet')
        END AS reason,
        videos.uri
    FROM videos
    LEFT JOIN extraction_log
        ON extraction_log.video_sha256 = videos.sha256
        AND extraction_log.extraction = $extraction
    WHERE list_contains($datasets, videos.dataset)
        AND videos.state <> 'removed'
        AND (videos.state = 'growing' OR coalesce(extraction_log.status, 'pending') <> 'ok')
),
numbered AS (
    SELECT
        video_key, status, reason, uri,
        row_number() OVER (PARTITION BY status ORDER BY video_key) AS number,
        count(*) OVER () AS total
    FROM problems
),
first_of_each AS (
    SELECT video_key, status, reason, uri, total FROM numbered ORDER BY number, status LIMIT $most
)
SELECT video_key, status, reason, uri, total FROM first_of_each ORDER BY status, video_key
