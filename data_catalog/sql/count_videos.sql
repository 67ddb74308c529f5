-- How many videos of some datasets are of which kind and in which status, and how many faces the present ones gave.
-- Every video has exactly one status: growing or removed by its state, else the outcome of its content under this
-- extraction, else pending. Content under two names counts under each.
SELECT
    videos.dataset, videos.split, videos.label, videos.manipulation, videos.compression, videos.media, videos.state,
    CASE
        WHEN videos.state <> 'present' THEN videos.state
        ELSE coalesce(extraction_log.status, 'pending')
    END AS status,
    count(*) AS videos,
    coalesce(sum(extraction_log.faces_found) FILTER (videos.state = 'present'), 0)::BIGINT AS faces
FROM videos
LEFT JOIN extraction_log
    ON extraction_log.video_sha256 = videos.sha256
    AND extraction_log.extraction = $extraction
WHERE list_contains($datasets, videos.dataset)
GROUP BY ALL
ORDER BY
    videos.dataset, videos.split, videos.label DESC, videos.manipulation, videos.compression, videos.media,
    videos.state, status
